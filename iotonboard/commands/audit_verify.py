"""``audit verify``: prove the trail whole, and against a head that somebody carried away."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import PolicyError, quoted
from iotonboard.health.trail_check import TrailFinding, check_trail
from iotonboard.model import rfc3339
from iotonboard.store import audit

if TYPE_CHECKING:
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found: ``broken_row`` is 0 and ``problem`` empty when all is well.

    ``lost``: how many rows of the carried head's trail are gone for certain. ``added``: how many rows each command
    added since that head; ``unsealed``: since the CA signed the trail last.
    """

    rows: int
    broken_row: int
    problem: str
    lost: int
    added: dict[str, int]
    unsealed: dict[str, int]


def verify(state: State, carried_head: str = "") -> Verdict:
    """Check the trail, and a head that somebody carried away earlier.

    Raises:
        PolicyError: ``carried_head`` is not one that ``audit head`` printed.
    """
    seq, digits = _parse_head(carried_head) if carried_head else (0, "")
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
        first, lost = found.rows + 1, seq - found.rows
        problem = f"row {seq}, which was carried away, is gone: the tail was cut off: rows {first} to {seq} are lost"
        return TrailFinding(found.rows, first, problem), lost
    if digest.hex().upper().startswith(digits):
        return TrailFinding(found.rows), 0
    after = rfc3339(moment) if (moment := audit.time_of(state.store, seq)) else "nobody knows when"
    problem = (
        f"row {seq} is not the one whose head was carried away: rows up to it were lost or rewritten, and others stand"
        f" in their place (row {seq} is of {after} now)"
    )
    return TrailFinding(found.rows, seq, problem), 0


def _parse_head(text: str) -> tuple[int, str]:
    number, _, digits = text.strip().partition(":")
    digits = re.sub("[- ]", "", digits).upper()
    if not re.fullmatch("[0-9]{1,18}", number) or not re.fullmatch(f"[0-9A-F]{{{audit.HEAD_DIGITS}}}", digits):
        raise PolicyError(
            f"{quoted(text)} is not a head of the trail", hint="type it as 'iotonboard audit head' printed it"
        )
    return int(number), digits
