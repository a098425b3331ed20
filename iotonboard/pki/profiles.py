"""What may be issued: profiles that are legal because they exist.

A profile is checked when it is constructed, from configuration; issuing then only fills in the request.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from iotonboard.errors import PolicyError

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
        raise PolicyError(f"{value[:80]!r} cannot be a {attribute!r}", hint=f"use 1 to {bound} printable characters")
    if attribute == COMMON_NAME and len(value.encode()) > bound:  # the library counts a commonName's octets
        raise PolicyError(
            f"{value[:80]!r} cannot be a {attribute!r}: it takes more than {bound} octets",
            hint="a letter outside of ASCII takes two or more: use a shorter name",
        )
    if attribute == "country" and not re.fullmatch(_COUNTRY, value):
        raise PolicyError(f"{value!r} is not a country", hint="use two upper-case letters, such as DE")


def _name(attributes: list[tuple[str, str]]) -> x509.Name:
    """Build a Name of pairs of attribute and value, one a step, in their order (RFC 5280 4.1.2.4)."""
    return x509.Name([x509.NameAttribute(ATTRIBUTES[attribute][0], value) for attribute, value in attributes])


@dataclass(frozen=True, slots=True)
class Subject:
    """A CA's distinguished name, in the order country, organization, organizational unit, common name.

    Raises:
        PolicyError: see ``check_attribute``.

    """

    common_name: str
    organization: str | None = None
    organizational_unit: str | None = None
    country: str | None = None

    def __post_init__(self) -> None:
        for attribute, value in self._attributes():
            check_attribute(attribute, value)

    def _attributes(self) -> list[tuple[str, str]]:
        pairs = (
            ("country", self.country),
            ("organization", self.organization),
            ("organizational_unit", self.organizational_unit),
            (COMMON_NAME, self.common_name),
        )
        return [(attribute, value) for attribute, value in pairs if value is not None]

    def name(self) -> x509.Name:
        """Return the X.501 Name."""
        return _name(self._attributes())


def renamed(name: x509.Name, common_name: str) -> Subject:
    """Return a CA's distinguished name with another commonName.

    Raises:
        PolicyError: see ``check_attribute``.

    """
    values = {attribute.oid: str(attribute.value) for attribute in name}
    organization, organizational_unit, country = (
        values.get(ATTRIBUTES[attribute][0]) for attribute in ("organization", "organizational_unit", "country")
    )
    return Subject(common_name, organization, organizational_unit, country)


@dataclass(frozen=True, slots=True)
class CaProfile:
    """A self-signed CA that signs end-entity certificates and CRLs; pathLenConstraint is 0."""

    subject: Subject


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
        """Return the X.501 Name with ``common_name`` as its last attribute, or without one."""
        last = [] if common_name is None else [(COMMON_NAME, common_name)]
        return _name([*self.subject_extra, *last])


@dataclass(frozen=True, slots=True)
class DeviceProfile(_EndEntityProfile):
    """A TLS client: the commonName is the device id, extendedKeyUsage is clientAuth and nothing else."""


@dataclass(frozen=True, slots=True)
class ServerProfile(_EndEntityProfile):
    """A broker: each host name and address is a subjectAltName, extendedKeyUsage is serverAuth only."""
