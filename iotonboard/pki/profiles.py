"""What may be issued: profiles that are legal because they exist.

A profile is checked when it is constructed, from configuration; issuing then only fills in the request.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from iotonboard.errors import PolicyError, quoted
from iotonboard.pki.parse_errors import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterable

_COUNTRY: Final = r"[A-Z]{2}"
COMMON_NAME: Final = "common_name"
# Attribute -> its OBJECT IDENTIFIER and upper bound in characters (RFC 5280 appendix A.1, "Upper Bounds").
ATTRIBUTES: Final = {
    "country": (NameOID.COUNTRY_NAME, 2),
    "state": (NameOID.STATE_OR_PROVINCE_NAME, 128),
    "locality": (NameOID.LOCALITY_NAME, 128),
    "organization": (NameOID.ORGANIZATION_NAME, 64),
    "organizational_unit": (NameOID.ORGANIZATIONAL_UNIT_NAME, 64),
    COMMON_NAME: (NameOID.COMMON_NAME, 64),
}


def check_attribute(attribute: str, value: str) -> None:
    """Check one attribute of a distinguished name.

    Raises:
        PolicyError: an unknown attribute, an empty or over-long value, surrounding blanks or control
            characters, or a country that is not two upper-case letters (ISO 3166).

    """
    if attribute not in ATTRIBUTES:
        raise PolicyError(f"{attribute!r} is not a subject attribute", hint="use one of: " + ", ".join(ATTRIBUTES))
    _, bound = ATTRIBUTES[attribute]
    if not 1 <= len(value) <= bound or value != value.strip() or not value.isprintable():
        raise PolicyError(f"{quoted(value)} cannot be a {attribute!r}", hint=f"use 1 to {bound} printable characters")
    if attribute == COMMON_NAME and len(value.encode()) > bound:  # the library counts a commonName's octets
        raise PolicyError(
            f"{quoted(value)} cannot be a {attribute!r}: it takes more than {bound} octets",
            hint="a letter outside of ASCII takes two or more: use a shorter name",
        )
    if attribute == "country" and not re.fullmatch(_COUNTRY, value):
        raise PolicyError(f"{value!r} is not a country", hint="use two upper-case letters, such as DE")


_SHORT_NAMES: Final = {  # RFC 4514 section 3, in the order in which subjects have them
    "C": "country", "ST": "state", "L": "locality", "O": "organization", "OU": "organizational_unit", "CN": COMMON_NAME,
}  # fmt: skip


def parse_name(text: str) -> x509.Name:
    r"""Read a directory name such as ``O=Works, OU=Line 4``; a comma in a value is written ``\,``.

    Raises:
        PolicyError: it is none, an attribute is unknown or named twice, or a value cannot be one.

    """
    given: dict[str, str] = {}
    for part in re.split(r"(?<!\\),", text):
        key, equals, value = part.strip().partition("=")
        attribute = _SHORT_NAMES.get(key.strip().upper())
        if not equals or attribute is None or attribute in given:
            raise PolicyError(
                f"{quoted(text)} is not a directory name", hint="for example: 'O=Works, OU=Line 4'; each of "
                f"{', '.join(_SHORT_NAMES)} once"
            )  # fmt: skip
        given[attribute] = value.strip().replace("\\,", ",")
        check_attribute(attribute, given[attribute])
    return make_name([(attribute, given[attribute]) for attribute in _SHORT_NAMES.values() if attribute in given])


def show_name(name: x509.Name) -> str:
    """Write a directory name as ``parse_name`` reads it."""
    shown = {oid: short for short, long in _SHORT_NAMES.items() for oid in [ATTRIBUTES[long][0]]}
    return ", ".join(
        f"{shown.get(one.oid, one.oid.dotted_string)}={str(one.value).replace(',', chr(92) + ',')}" for one in name
    )


def subject_of(certificate_der: bytes) -> x509.Name:
    """The subject of a certificate.

    Raises:
        PolicyError: it is none.

    """
    try:
        return x509.load_der_x509_certificate(certificate_der).subject
    except UNREADABLE as error:
        raise PolicyError("this is not a certificate that can be read") from error


def is_within(subject: x509.Name, permitted: Iterable[x509.Name]) -> bool:
    """Say whether a subject begins with one of some names, as they are compared (RFC 5280 7.1)."""
    return any(_folded(subject)[: len(list(name))] == _folded(name) for name in permitted)


def _folded(name: x509.Name) -> list[tuple[str, str]]:
    return [(one.oid.dotted_string, " ".join(str(one.value).split()).casefold()) for one in name]


def permitted_names(certificate_der: bytes) -> tuple[x509.Name, ...]:
    """The directory names of which one begins each subject that a CA may certify; empty: any (RFC 5280 4.2.1.10).

    Raises:
        PolicyError: it is no certificate.

    """
    try:
        extensions = x509.load_der_x509_certificate(certificate_der).extensions
        found = extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
    except x509.ExtensionNotFound:
        return ()
    except UNREADABLE as error:
        raise PolicyError("this is not a certificate that can be read") from error
    return tuple(one.value for one in found if isinstance(one, x509.DirectoryName))


def check_permitted(subject: x509.Name, ca_der: bytes) -> None:
    """Refuse a subject that is outside of the names that a CA may certify; an empty one is not (RFC 5280 4.2.1.10).

    Raises:
        PolicyError: it is.

    """
    permitted = permitted_names(ca_der)
    if permitted and list(subject) and not is_within(subject, permitted):
        wanted = "; or ".join(map(show_name, permitted))
        raise PolicyError(
            f"the root permits subjects that begin with {wanted}, and this state issues {show_name(subject)}",
            hint="set subject.organization and its like first: iotonboard config set subject.organization NAME; a"
            " profile writes its own subject",
        )


def make_name(attributes: list[tuple[str, str]]) -> x509.Name:
    """Build a Name of pairs of attribute and value, one a step, in their order (RFC 5280 4.1.2.4)."""
    return x509.Name([x509.NameAttribute(ATTRIBUTES[attribute][0], value) for attribute, value in attributes])


@dataclass(frozen=True, slots=True)
class _EndEntityProfile:
    """``subject_extra``: (attribute, value) pairs that come before the commonName of every subject.

    Raises:
        PolicyError: an attribute twice, the commonName, or what ``check_attribute`` refuses.

    """

    subject_extra: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        attributes = [attribute for attribute, _ in self.subject_extra]
        if COMMON_NAME in attributes or len(set(attributes)) != len(attributes):
            raise PolicyError(
                "a subject names each attribute once, and the commonName is not configured",
                hint="remove the repeated attribute",
            )
        for attribute, value in self.subject_extra:
            check_attribute(attribute, value)

    def name(self, common_name: str | None) -> x509.Name:
        """Return the X.501 Name with ``common_name`` as its last attribute, or without one.

        Raises:
            PolicyError: see ``check_attribute``; the name of an adopted device may be one that nobody can certify here.

        """
        if common_name is not None:
            check_attribute(COMMON_NAME, common_name)
        last = [] if common_name is None else [(COMMON_NAME, common_name)]
        return make_name([*self.subject_extra, *last])


@dataclass(frozen=True, slots=True)
class DeviceProfile(_EndEntityProfile):
    """A TLS client: the commonName is the device id, extendedKeyUsage is clientAuth and nothing else.

    ``crl_url``: where its certificate says that the CRL can be fetched; empty: nowhere.
    """

    crl_url: str = ""


@dataclass(frozen=True, slots=True)
class ServerProfile(_EndEntityProfile):
    """A broker: each host name and address is a subjectAltName, extendedKeyUsage is serverAuth only."""
