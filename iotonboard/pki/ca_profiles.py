"""Which CAs may be made: a root, a self-signed one, and one that a root certifies; and what they are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.pki.profiles import ATTRIBUTES, COMMON_NAME, check_attribute, make_name

if TYPE_CHECKING:
    from cryptography import x509


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
        return make_name(self._attributes())


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
    """A self-signed CA that signs end-entity certificates and CRLs; pathLenConstraint is 0.

    ``is_root``: it signs CAs instead; pathLenConstraint is 1.
    """

    subject: Subject
    is_root: bool = False


@dataclass(frozen=True, slots=True)
class StationProfile:
    """A CA that a root certifies: it signs end-entity certificates and CRLs; pathLenConstraint is 0.

    ``permitted``: directory names of which one is the beginning of each subject that it certifies; empty: no limit.
    """

    permitted: tuple[x509.Name, ...] = ()
