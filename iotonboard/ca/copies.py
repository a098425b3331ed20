"""Whether another copy of this state is at work: told from what it published.

A folder that was copied to try something, a snapshot put back, two machines on one state: the places of publication
then hold a CRL of this CA, or a region of its ACL, that this database did not write. Which copy is the right one, no
file can tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.broker.region import stream_operator_text
from iotonboard.ca.absorption import absorb, is_known, signer_of
from iotonboard.errors import IotOnboardError, PolicyError
from iotonboard.pki import pem
from iotonboard.pki.crl import crl_facts
from iotonboard.reading import file_mark, read_file, read_pieces
from iotonboard.state.publication import SEEN_ACL, SEEN_CRL
from iotonboard.state.region_change import (
    is_foreign,
    is_own,
    meet_region,
    note_other_copy,
    other_copy_error,
    refuse_other_copy,
)
from iotonboard.store.compromised import is_compromised

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.broker.region import Change
    from iotonboard.pki.crl import CrlFacts
    from iotonboard.state.state import State
    from iotonboard.store.issuers import IssuerRow


def absorb_published(state: State, now: datetime) -> int:
    """Take up what another copy of this state published, inside the transaction that signs the next lists.

    A CRL of this CA in the place of publication that the database does not know: its revocations are recorded, its
    number is passed, and nothing is issued any more until ``restore --crl`` (``state/region_change``). Returns how many
    revocations were not known.
    """
    taken_up = 0
    for issuer, crls in _unknown_crls(state).items():
        number = max(crl_facts(der).number for der in crls)
        taken_up += absorb(state, issuer, crls, now)
        note_other_copy(state, f"it signed CRL {number} in {state.paths.crl!r}", now)
    change = _region_in_place(state)
    if change is not None:
        meet_region(state, change, state.paths.acl, now)
    return taken_up


def refuse_copies(state: State) -> None:
    """Refuse to issue where another copy of this state is at work; what is published is looked at when it changed.

    Raises:
        ConflictError: another copy was seen, now or before.
    """
    refuse_other_copy(state)
    for crls in _unknown_crls(state).values():
        raise other_copy_error(f"it signed CRL {max(crl_facts(der).number for der in crls)} in {state.paths.crl!r}")
    change = _region_in_place(state)
    if change is not None and not is_foreign(state, change) and not is_own(state, change):
        raise other_copy_error(f"it wrote change {change.number} of the ACL into {state.paths.acl!r}")


def _region_in_place(state: State) -> Change | None:
    """What the ACL's region says of itself when the file is not the one that was published last."""
    path = state.paths.acl
    if file_mark(path) in {"", state.store.meta(SEEN_ACL)}:
        return None
    try:
        return stream_operator_text(read_pieces(path)).change
    except IotOnboardError:  # whoever writes the region says what is wrong with it
        return None


def _unknown_crls(state: State) -> dict[IssuerRow, list[bytes]]:
    """The CRLs of this state's CAs in the place of publication that the database does not know."""
    found: dict[IssuerRow, list[bytes]] = {}
    for der in _published(state):
        facts = _facts(der)
        if facts is None or is_known(state, der, facts):
            continue
        issuer = signer_of(state, der)
        if issuer and not is_compromised(state.store, issuer.id):  # a thief signs what he likes
            found.setdefault(issuer, []).append(der)
    return found


def _facts(der: bytes) -> CrlFacts | None:
    try:
        return crl_facts(der)
    except PolicyError:
        return None


def _published(state: State) -> list[bytes]:
    """The CRLs in the place of publication when the file is not the one that was written last.

    None without a readable file: it is written anew. Blocks that cannot be read hide none of the others.
    """
    path = state.paths.crl
    if file_mark(path) in {"", state.store.meta(SEEN_CRL)}:
        return []
    try:
        return pem.pem_blocks("X509 CRL", read_file(path, limit=1 << 30))
    except IotOnboardError:
        return []
