"""Distinguished names (RFC 5280 4.1.2.4) as this program writes them, and reads them back: one attribute each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from iotonboard.errors import PolicyError
from iotonboard.pki import der

if TYPE_CHECKING:
    from collections.abc import Iterable

# The OBJECT IDENTIFIER (DER) and the value of each attribute, in order.
Name: TypeAlias = tuple[tuple[bytes, str], ...]

COMMON_NAME: Final = "common_name"
# Attribute -> OID (DER) and upper bound in characters (RFC 5280 appendix A.1, "Upper Bounds").
ATTRIBUTES: Final[dict[str, tuple[bytes, int]]] = {
    "country": (der.oid("2.5.4.6"), 2),
    "state": (der.oid("2.5.4.8"), 128),
    "locality": (der.oid("2.5.4.7"), 128),
    "organization": (der.oid("2.5.4.10"), 64),
    "organizational_unit": (der.oid("2.5.4.11"), 64),
    COMMON_NAME: (der.oid("2.5.4.3"), 64),
}
# RFC 5280 appendix A.1: countryName is a PrintableString; 4.1.2.4: all others SHOULD be UTF8String.
_PRINTABLE: Final = frozenset({"country"})
_PAIR_TAGS: Final = ([der.OBJECT_IDENTIFIER, der.UTF8_STRING], [der.OBJECT_IDENTIFIER, der.PRINTABLE_STRING])


def encode_name(attributes: Iterable[tuple[str, str]]) -> bytes:
    """Write pairs of attribute and value as a Name (DER), in their order."""
    return der.sequence(*(_encode(attribute, value) for attribute, value in attributes))


def _encode(attribute: str, value: str) -> bytes:
    tag = der.PRINTABLE_STRING if attribute in _PRINTABLE else der.UTF8_STRING
    return der.tlv(der.SET, der.sequence(ATTRIBUTES[attribute][0], der.tlv(tag, value.encode())))


def read_name(octets: bytes) -> Name:
    """Read a Name (DER).

    Raises:
        PolicyError: malformed, several attributes in one step, or a string of another type than this program writes.

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
