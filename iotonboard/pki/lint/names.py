"""Distinguished names (RFC 5280 4.1.2.4) as the lint reads them: one attribute each step, and texts only."""

from __future__ import annotations

from typing import Final, TypeAlias

from iotonboard.errors import PolicyError
from iotonboard.pki import der

# The OBJECT IDENTIFIER (DER) and the value of each attribute, in order.
Name: TypeAlias = tuple[tuple[bytes, str], ...]

COMMON_NAME: Final = der.oid("2.5.4.3")
# What a name may hold: attribute -> upper bound in characters (RFC 5280 appendix A.1, "Upper Bounds").
BOUNDS: Final = {
    der.oid("2.5.4.6"): 2,  # countryName
    der.oid("2.5.4.8"): 128,  # stateOrProvinceName
    der.oid("2.5.4.7"): 128,  # localityName
    der.oid("2.5.4.10"): 64,  # organizationName
    der.oid("2.5.4.11"): 64,  # organizationalUnitName
    COMMON_NAME: 64,
}
_PAIR_TAGS: Final = ([der.OBJECT_IDENTIFIER, der.UTF8_STRING], [der.OBJECT_IDENTIFIER, der.PRINTABLE_STRING])


def read_name(octets: bytes) -> Name:
    """Read a Name (DER).

    Raises:
        PolicyError: malformed, several attributes in one step, or a string of another type than UTF8String and
            PrintableString.

    """
    return tuple(_read(octets, step) for step in der.children(octets, der.whole(octets)))


def _read(octets: bytes, step: der.Element) -> tuple[bytes, str]:
    attributes = der.children(octets, step)
    if step.tag != der.SET or len(attributes) != 1 or attributes[0].tag != der.SEQUENCE:
        raise PolicyError("a name has a step that is not one attribute")
    pair = der.children(octets, attributes[0])
    if [part.tag for part in pair] not in _PAIR_TAGS:
        raise PolicyError("a name has an attribute that is not a text")
    identifier, text = pair
    encoding = "utf-8" if text.tag == der.UTF8_STRING else "ascii"
    try:
        return octets[identifier.start : identifier.end], octets[text.begin : text.end].decode(encoding)
    except UnicodeDecodeError:
        raise PolicyError("a name has an attribute that is not well encoded") from None
