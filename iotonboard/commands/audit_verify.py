"""``audit verify``: prove the trail whole, and against a head that somebody carried away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.health.trail_check import TrailFinding, Verdict, check_trail, is_cut_off, is_rewritten, parse_head
from iotonboard.store import audit

if TYPE_CHECKING:
    from iotonboard.state.state import State


def verify(state: State, carried_head: str = "") -> Verdict:
    """Check the trail, and a head that somebody carried away earlier.

    Raises:
        PolicyError: ``carried_head`` is not one that ``audit head`` printed.
    """
    seq, digits = parse_head(carried_head) if carried_head else (0, "")
    with state.store.reading():
        found, lost, added = check_trail(state.store), 0, {}
        if digits and not (found.problem and found.broken_row <= seq):
            carried, lost = _against_carried(state, found, seq, digits)
            found = carried if carried.problem else found
            added = {} if carried.problem else audit.count_by_command(state.store, since_seq=seq)
        unsealed = audit.count_unsealed(state.store)
        return Verdict(found.rows, found.broken_row, found.problem, lost, added, unsealed)


def _against_carried(state: State, found: TrailFinding, seq: int, digits: str) -> tuple[TrailFinding, int]:
    """Look for the carried row; returns what is wrong with it, and how many rows are gone."""
    digest = audit.hash_of(state.store, seq) if seq else audit.GENESIS
    if digest is None:
        lost = seq - found.rows
        return TrailFinding(found.rows, found.rows + 1, is_cut_off(seq, lost)), lost
    if digest.hex().upper().startswith(digits):
        return TrailFinding(found.rows), 0
    problem = is_rewritten(seq, audit.time_of(state.store, seq))
    return TrailFinding(found.rows, seq, problem), 0
