"""The CAs above ours, and what their lists say that are here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from iotonboard.broker.ca_relations import list_facts
from iotonboard.errors import PolicyError
from iotonboard.pki.crl import entries_of_any_writer
from iotonboard.pki.facts import certificate_facts
from iotonboard.pki.foreign_ca import read_foreign_ca
from iotonboard.state.chain import chain_in_force
from iotonboard.store import root_crls
from iotonboard.store.issuers import current_issuers

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from iotonboard.pki.crl import CrlFacts
    from iotonboard.store.issuers import IssuerRow
    from iotonboard.store.store import Store

NEWER_ROOT_LIST: Final = "at the root: iotonboard gen-crl; then here: iotonboard ca install FILE, with its crl.pem"


@dataclass(frozen=True, slots=True)
class CaAbove:
    """A CA above ours. ``crl_der`` is its newest list that is here, and ``crl`` what that says; neither may be there.

    ``name`` is what people call it, ``fingerprint`` SHA-256 of its certificate in lower-case hex.
    """

    der: bytes = field(repr=False)
    name: str
    fingerprint: str
    not_after: datetime
    crl: CrlFacts | None
    crl_der: bytes = field(repr=False)


def cas_above(store: Store, issuers: Iterable[IssuerRow]) -> list[CaAbove]:
    """Every CA above some of ours, the nearest first; none where each signs itself."""
    ders = dict.fromkeys(der for row in issuers for der in chain_in_force(store, row)[1:])
    return [_above(store, der) for der in ders]


def _above(store: Store, der: bytes) -> CaAbove:
    ca, recorded = read_foreign_ca(der), root_crls.root_crl(store, der)
    facts = list_facts(recorded.der, der) if recorded else None  # a list proves itself
    return CaAbove(der, ca.short_name, ca.fingerprint, ca.not_after, facts, recorded.der if recorded and facts else b"")


def is_revoked_above(store: Store, issuer: IssuerRow) -> bool:
    """Say whether a list that is here of a CA above revokes the certificate that ours goes out with."""
    chain = chain_in_force(store, issuer)
    serial = int(certificate_facts(chain[0]).serial)
    lists = (one.crl_der for one in cas_above(store, [issuer]) if one.crl)
    return any(serial == listed for der in lists for listed, _, _ in entries_of_any_writer(der))


def refuse_revoked(store: Store) -> None:
    """Refuse to certify anything with a CA that its root took back.

    Raises:
        PolicyError: it did.
    """
    if is_revoked_above(store, current_issuers(store)[0]):
        raise PolicyError(
            "the root took this CA back: brokers that hear of it let none of its devices in",
            hint="make a new one, with another name: iotonboard init-ca --below-root; 'iotonboard ca status' shows it",
        )
