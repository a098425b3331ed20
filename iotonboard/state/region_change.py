"""The number of the ACL's region, and what it gives away: that another copy of this state is at work.

Each change of the region has a number, and is marked with the newest row of the audit trail. A region that says it is
of this state, but names a row that its trail lacks, was written by a copy: one that was made to try something, a
snapshot put back, or the state of which this one is the copy. Which of them is the right one, no file can tell. So
from then on nothing is issued here and the region is left as it is but for revocations, until somebody who knows says
so with 'restore --crl'.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.broker.region import Change
from iotonboard.errors import ConflictError, PolicyError, StateError
from iotonboard.model import rfc3339
from iotonboard.pki.key_id import key_id
from iotonboard.state.chain import going_out
from iotonboard.store.audit import hash_of, head, mark_of
from iotonboard.store.issuers import all_issuers, current_issuers
from iotonboard.store.region_changes import changes, note_change, note_packed

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.state.state import State

_CHANGES, _ROW, _FLOOR, _OTHER = "acl_changes", "acl_row", "acl_floor", "other_copy"


def other_copy(state: State) -> str:
    """What another copy of this state was seen to have written; empty when none was."""
    return str(state.store.meta(_OTHER) or "")


def refuse_other_copy(state: State) -> None:
    """Refuse what must not be done by two copies of one state.

    Raises:
        ConflictError: another copy was seen at work.
    """
    if seen := other_copy(state):
        raise other_copy_error(state, seen)


def other_copy_error(state: State, seen: str) -> ConflictError:
    """The refusal, with what the other copy was seen to have written."""
    of_it = f" --ca {os.path.basename(state.paths.root)}" if state.main else ""
    whose = "of this CA" if state.main else "of any broker"
    return ConflictError(
        f"another copy of this state is at work: {seen}",
        hint=f"revoking goes on; stop the other copy, then type 'iotonboard restore --crl FILE{of_it}' where work goes"
        f" on, with the newest crl.pem {whose}",
    )


def note_other_copy(state: State, seen: str, now: datetime) -> None:
    """Note, inside a transaction, what another copy was seen to have written; the first one stands."""
    if not other_copy(state):
        state.store.set_meta(_OTHER, f"{seen}, seen {rfc3339(now)}")
    state.record(now, "copy", detail={"seen": seen})


def forget_other_copy(state: State, *, changes: int) -> None:
    """Go on alone, inside a transaction: every region below the change number ``changes`` is older than this state."""
    state.store.set_meta(_OTHER, "")
    state.store.set_meta(_CHANGES, changes)
    state.store.set_meta(_FLOOR, changes)


def settle_change(state: State) -> Change | None:
    """The newest change of the region, marked with the newest row of the trail when it was not marked before."""
    number = state.store.number(_CHANGES) or 0
    if last_change(state) is None:
        newest = head(state.store)
        state.store.set_meta(_ROW, f"{number} {newest.seq} {mark_of(newest.hash)}")
        _note(state, number, newest.seq, mark_of(newest.hash))
    return last_change(state)


def last_change(state: State) -> Change | None:
    """The newest change of the region as it was marked; ``None`` before it was."""
    number = state.store.number(_CHANGES) or 0
    words = str(state.store.meta(_ROW) or "").split()
    issuers = current_issuers(state.store)
    issuers = going_out(state.store, issuers) or issuers  # one that waits for its root stands in no broker's CA file
    if len(words) != 3 or words[0] != str(number) or not words[1].isdecimal() or not issuers:
        return None
    key = _key_of(issuers[0].der)
    return Change(number, key, int(words[1]), words[2]) if key else None


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a package says of the ACL's region: its number, and which regions it is a later one of.

    These are those below the number ``floor``, and those of ``before`` (number, row and mark).
    """

    change: int
    floor: int
    before: tuple[tuple[int, int, str], ...]


def pack_change(state: State) -> Lineage:
    """The region's lineage for a package, inside the transaction that packs it."""
    if newest := last_change(state):
        note_packed(state.store, newest.number, newest.row, newest.mark)
    floor = state.store.number(_FLOOR) or 0
    return Lineage(state.store.number(_CHANGES) or 0, floor, tuple(changes(state.store)))


def meet_region(state: State, found: Change | None, path: str, now: datetime) -> None:
    """Look at what the region in place says of itself, inside a transaction, before it is replaced.

    One of another copy is noted, and the next number lies above any that was seen. What is written next is made of it,
    and so is a later one of it.
    """
    if found is None or is_foreign(state, found):
        return
    if found.mark:
        _note(state, found.number, found.row, found.mark)
    is_from_here, changes = is_own(state, found), state.store.number(_CHANGES) or 0
    if not is_from_here:
        note_other_copy(state, f"it wrote change {found.number} of the ACL into {path!r}", now)
    if not is_from_here or found.number > changes:
        state.store.set_meta(_CHANGES, max(changes, found.number) + 1)


def is_foreign(state: State, found: Change) -> bool:
    """Say whether a region is of another state."""
    return found.key not in {_key_of(issuer.der) for issuer in all_issuers(state.store)}


def is_own(state: State, found: Change) -> bool:
    """Say whether this database wrote a region of this state, or somebody settled that it is older than this one."""
    if found.number < (state.store.number(_FLOOR) or 0):
        return True
    digest = hash_of(state.store, found.row) if found.mark else None
    if found.mark:
        return digest is not None and mark_of(digest) == found.mark
    return found.number <= (state.store.number(_CHANGES) or 0)


def _note(state: State, number: int, row: int, mark: str) -> None:
    """Note a change for packages; a table that somebody took away holds no ACL back."""
    with contextlib.suppress(StateError):
        note_change(state.store, number, row, mark)


def _key_of(certificate_der: bytes) -> str:
    """The name of a CA's key; none for a row that somebody damaged: the ACL is written all the same."""
    try:
        return key_id(certificate_der)
    except PolicyError:
        return ""
