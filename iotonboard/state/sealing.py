"""Every change of a row goes into the audit trail with it: as a digest, in the same transaction.

The trail's other rows say in words what was done. These say what the rows are, so that ``health --deep`` finds each one
that somebody else changed. A state of an earlier version gets a checkpoint of all rows that it had, once.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from iotonboard.model import to_epoch
from iotonboard.store import audit, row_seals, watching

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.state.state import State

_BEGUN = "rows_sealed_from"  # number of the row of the trail behind which all changes are sealed


def begin_seals(state: State, now: datetime) -> None:
    """Record, once and inside a transaction, digests of all rows that an earlier version left.

    Where somebody took the note away that this was done, the trail still knows it.
    """
    if state.store.meta(_BEGUN) is not None:
        return
    if not audit.has_row_seals(state.store):
        counts = row_seals.count_rows(state.store)
        if counts:
            _append(state, now, {"checkpoint": counts})
        for part in row_seals.take_all(state.store):
            _append(state, now, {"rows": part})
    state.store.set_meta(_BEGUN, audit.head(state.store).seq)


def seal_rows(state: State, now: datetime, *, is_repair: bool = False) -> None:
    """Record what the open transaction changed, and what of the schema had to be mended for it.

    ``is_repair``: somebody with the passphrase saw what does not fit to the trail before, and let it be put right.
    """
    begin_seals(state, now)
    if state.store.unrecorded:
        detail = {"mended": list(state.store.unrecorded)}
        state.store.unrecorded.clear()
        audit.append(state.store, state.caller, now, subject="database", detail=detail)
    if is_repair:
        _append(state, now, {"repaired": True})
    for part in watching.take_changes(state.store):
        _append(state, now, {"rows": part, "repaired": True} if is_repair else {"rows": part})


def note_event(state: State) -> None:
    """Let the time of this transaction be the measure for the clock from now on.

    Where that is disputed, what it was held against stays the measure: also where that was the newest row of the trail,
    which is now one that the disputed clock dated.
    """
    clock, noted = state.read_clock(), state.store.moment("last_event")
    measure = clock.last_event if clock.dispute else clock.now
    if measure and (noted is None or measure > noted):
        state.store.set_meta("last_event", to_epoch(measure))


def left_by_earlier_version(state: State) -> dict[str, int]:
    """How many rows of each table an earlier version left that no CA sealed yet; empty where there are none."""
    if state.store.meta(_BEGUN) is None:
        return row_seals.count_rows(state.store)
    signed = audit.newest_signed(state.store)
    if signed == audit.head(state.store):
        return {}
    detail = audit.checkpoint(state.store, since_seq=signed.seq if signed else 0)
    return dict(json.loads(detail)["checkpoint"]) if detail else {}


def _append(state: State, now: datetime, detail: dict[str, object]) -> None:
    audit.append(state.store, state.caller, now, subject=audit.ROWS, detail=detail)
