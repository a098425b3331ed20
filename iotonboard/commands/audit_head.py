"""``audit head``: the head of the trail, to be written down and carried away. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.store import audit

if TYPE_CHECKING:
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Result:
    """Number and hash of the newest row; ``text`` is what people write down and ``audit verify --head`` takes."""

    seq: int
    hash: bytes
    text: str


def audit_head(state: State) -> Result:
    """Look up the newest row of the trail."""
    newest = audit.head(state.store)
    return Result(newest.seq, newest.hash, audit.printable_head(newest))
