"""CAs of others in what is published: only those that a CA of this state signed, with the lists that it signed.

Whoever writes on the disk makes no broker trust a CA so. What is damaged or not signed is left out, and told by
``health``; it holds nothing of our own back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.broker import ca_relations
from iotonboard.broker.foreign_mark import MARK
from iotonboard.errors import StateError
from iotonboard.pki import pem
from iotonboard.pki.verifying import statement_holds
from iotonboard.state.chain import chain_in_force, published_cas
from iotonboard.store.issuers import are_believed, current_issuers
from iotonboard.store.root_crls import root_crl
from iotonboard.store.trust import set_trust_seal, trusted_cas, trusted_crls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from iotonboard.state.settings_seal import Sign
    from iotonboard.state.state import State
    from iotonboard.store.issuers import IssuerRow
    from iotonboard.store.store import Store
    from iotonboard.store.trust import TrustedCa, TrustedCrl

NEWER_LIST = "ask whoever keeps that CA for a newer one, and type: iotonboard ca trust add --crl FILE"


@dataclass(frozen=True, slots=True)
class Trusted:
    """A CA of others with its lists. ``is_sealed``: a CA of this state signed both; else nothing of it is published."""

    ca: TrustedCa
    crls: tuple[TrustedCrl, ...]
    is_sealed: bool


def recorded_trust(store: Store) -> list[Trusted]:
    """Every CA of others that is recorded as trusted.

    Raises:
        StateError: a row says what cannot be.
    """
    found = [(ca, tuple(trusted_crls(store, ca.id))) for ca in trusted_cas(store)]
    return [Trusted(ca, crls, statement_holds(ca.sealed_by, _statement(ca, crls), ca.signature)) for ca, crls in found]


def sealed_trust(store: Store) -> list[Trusted]:
    """Those that are published; none where a row is damaged."""
    try:
        return [one for one in recorded_trust(store) if one.is_sealed]
    except StateError:
        return []


def seal_trust(store: Store, trusted: Iterable[Trusted], sign: Sign) -> None:
    """Sign that CAs of others are trusted with the lists that they have now, in the caller's transaction."""
    for one in trusted:
        set_trust_seal(store, one.ca.id, *sign(_statement(one.ca, one.crls)))


def _statement(ca: TrustedCa, crls: Sequence[TrustedCrl]) -> bytes:
    """The octets that a CA signs."""
    return f"iotonboard trust v1\n{ca.fingerprint}\n{' '.join(one.digest for one in crls)}\n".encode("ascii")


def foreign_crls(state: State) -> Iterator[bytes]:
    """The lists (DER) that stand behind our own in what is published: of the CAs above ours, then of CAs of others."""
    yield from crls_above(state.store, current_issuers(state.store))
    yield from (crl.der for one in sealed_trust(state.store) for crl in one.crls)


def crls_above(store: Store, issuers: Iterable[IssuerRow]) -> list[bytes]:
    """The newest lists (DER) that are here of the CAs above ours; one that its CA did not sign is none."""
    above = list(dict.fromkeys(der for row in issuers for der in chain_in_force(store, row)[1:]))
    found = [(der, recorded.der) for der in above if (recorded := root_crl(store, der))]
    return [crl for der, crl in found if ca_relations.list_facts(crl, der)]


def ca_file(state: State, issuers: Sequence[IssuerRow]) -> bytes:
    """The CA file for brokers: our own CAs with all above them, then those of others, each behind a line that says so.

    Without those that wait for their root's answer.

    Raises:
        StateError: the row of a CA has no certificate of its own: it is in the file that is published, and stays there.
    """
    if not are_believed(state.store, issuers):
        raise StateError("the row of a CA does not have its certificate", hint="type: iotonboard health --deep")
    own = published_cas(state.store, issuers)
    others = (MARK + pem.pem_encode("CERTIFICATE", one.ca.der) for one in sealed_trust(state.store))
    return b"".join((*(pem.pem_encode("CERTIFICATE", der) for der in own), *others))
