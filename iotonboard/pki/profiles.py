"""What may be issued: profiles that are legal because they exist.

A profile is checked when it is constructed, from configuration; issuing then only fills in the request.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from iotonboard.errors import PolicyError
from iotonboard.record import dataclass

if TYPE_CHECKING:
    from cryptography.x509.oid import ObjectIdentifier

COMMON_NAME: Final = "common_name"
# Attribute -> OID and upper bound in characters (RFC 5280 appendix A.1, "Upper Bounds").
ATTRIBUTES: Final[dict[str, tuple[ObjectIdentifier, int]]] = {
    "country": (NameOID.COUNTRY_NAME, 2),
    "state": (NameOID.STATE_OR_PROVINCE_NAME, 128),
    "locality": (NameOID.LOCALITY_NAME, 128),
    "organization": (NameOID.ORGANIZATION_NAME, 64),
    "organizational_unit": (NameOID.ORGANIZATIONAL_UNIT_NAME, 64),
    COMMON_NAME: (NameOID.COMMON_NAME, 64),
}
_COUNTRY: Final = re.compile(r"[A-Z]{2}")


def name_attribute(attribute: str, value: str) -> x509.NameAttribute[str]:
    """Encode one attribute of a distinguished name.

    Raises:
        PolicyError: an unknown attribute, an empty or over-long value, surrounding blanks or control
            characters, or a country that is not two upper-case letters (ISO 3166).

    """
    if attribute not in ATTRIBUTES:
        raise PolicyError(f"{attribute!r} is not a subject attribute", hint="use one of: " + ", ".join(ATTRIBUTES))
    object_identifier, bound = ATTRIBUTES[attribute]
    if not 1 <= len(value) <= bound or value != value.strip() or not value.isprintable():
        raise PolicyError(f"{value[:80]!r} cannot be a {attribute!r}", hint=f"use 1 to {bound} printable characters")
    if attribute == "country" and not _COUNTRY.fullmatch(value):
        raise PolicyError(f"{value!r} is not a country", hint="use two upper-case letters, such as DE")
    return x509.NameAttribute(object_identifier, value)


@dataclass(frozen=True, slots=True)
class Subject:
    """A CA's distinguished name, in the order country, organization, organizational unit, common name.

    Raises:
        PolicyError: see ``name_attribute``.

    """

    common_name: str
    organization: str | None = None
    organizational_unit: str | None = None
    country: str | None = None

    def __post_init__(self) -> None:
        self.name()

    def name(self) -> x509.Name:
        """Build the X.501 Name."""
        pairs = (
            ("country", self.country),
            ("organization", self.organization),
            ("organizational_unit", self.organizational_unit),
            (COMMON_NAME, self.common_name),
        )
        return x509.Name([name_attribute(attribute, value) for attribute, value in pairs if value is not None])


def renamed(name: x509.Name, common_name: str) -> Subject:
    """A CA's distinguished name with another commonName.

    Raises:
        PolicyError: see ``name_attribute``.

    """
    names = {identifier: attribute for attribute, (identifier, _) in ATTRIBUTES.items()}
    values = {names[each.oid]: str(each.value) for each in name if each.oid in names}
    kept = {attribute: values.get(attribute) for attribute in ("organization", "organizational_unit", "country")}
    return Subject(common_name, **kept)


@dataclass(frozen=True, slots=True)
class CaProfile:
    """A self-signed CA that signs end-entity certificates and CRLs; pathLenConstraint is 0."""

    subject: Subject


@dataclass(frozen=True, slots=True)
class _EndEntityProfile:
    """``subject_extra``: (attribute, value) pairs that come before the commonName of every subject.

    Raises:
        PolicyError: an attribute twice, the commonName, or what ``name_attribute`` refuses.

    """

    subject_extra: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        attributes = [attribute for attribute, _ in self.subject_extra]
        if COMMON_NAME in attributes or len(set(attributes)) != len(attributes):
            raise PolicyError(
                "a subject names each attribute once, and the commonName is not configured",
                hint="remove the repeated attribute",
            )
        self.name(None)

    def name(self, common_name: str | None) -> x509.Name:
        """Build the X.501 Name with ``common_name`` as its last attribute, or without one."""
        attributes = [name_attribute(attribute, value) for attribute, value in self.subject_extra]
        if common_name is not None:
            attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
        return x509.Name(attributes)


@dataclass(frozen=True, slots=True)
class DeviceProfile(_EndEntityProfile):
    """A TLS client: the commonName is the device id, extendedKeyUsage is clientAuth and nothing else."""


@dataclass(frozen=True, slots=True)
class ServerProfile(_EndEntityProfile):
    """A broker: each host name and address is a subjectAltName, extendedKeyUsage is serverAuth only."""
