"""``audit verify``: prove the trail whole, and against a head that somebody carried away."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from iotonboard.errors import PolicyError
from iotonboard.health.trail_check import TrailFinding, check_trail
from iotonboard.store import audit

if TYPE_CHECKING:
    from iotonboard.state.state import State


def verify(state: State, carried_head: str = "") -> TrailFinding:
    """Check the trail, and a head that somebody carried away earlier.

    Raises:
        PolicyError: ``carried_head`` is not one that ``audit head`` printed.
    """
    with state.store.reading():
        found = check_trail(state.store)
        if found.problem or not carried_head:
            return found
        seq, digits = _parse_head(carried_head)
        digest = audit.hash_of(state.store, seq)
        if digest is None:
            problem = f"row {seq}, which was carried away, is gone: the tail was cut off"
            return TrailFinding(found.rows, found.rows + 1, problem)
        if not digest.hex().upper().startswith(digits):
            return TrailFinding(found.rows, seq, f"row {seq} is not the one whose head was carried away")
        return found


def _parse_head(text: str) -> tuple[int, str]:
    number, _, digits = text.strip().partition(":")
    digits = re.sub("[- ]", "", digits).upper()
    if not re.fullmatch("[0-9]{1,18}", number) or not re.fullmatch(f"[0-9A-F]{{{audit.HEAD_DIGITS}}}", digits):
        raise PolicyError(
            f"{text[:80]!r} is not a head of the trail", hint="type it as 'iotonboard audit head' printed it"
        )
    return int(number), digits
