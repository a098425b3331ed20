"""``audit show``: who changed what, oldest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.store import audit, trail_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from iotonboard.state.state import State
    from iotonboard.store.trail_rows import AuditRow


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows are shown; empty or ``None`` means any. Times include their ends; ``config`` is ``config set`` too.

    ``is_unsealed``: only those since the CA signed the head of the trail.
    """

    subject: str = ""
    command: str = ""
    since: datetime | None = None
    until: datetime | None = None
    is_unsealed: bool = False


def last_row(state: State) -> int:
    """Number of the newest row, which is how many there are."""
    return audit.head(state.store).seq


def select_rows(state: State, chosen: Filter, *, last: int | None = None) -> Iterator[AuditRow]:
    """Rows that match, oldest first; with ``last``, only that many of the newest rows are looked at."""
    since_seq = 0 if last is None else max(audit.head(state.store).seq - last, 0)
    if chosen.is_unsealed and (signed := audit.newest_signed(state.store)):
        since_seq = max(since_seq, signed.seq)
    for row in trail_rows.rows(state.store, since_seq=since_seq):
        if chosen.subject and row.subject != chosen.subject:
            continue
        if chosen.command and not f"{row.command} ".startswith(f"{chosen.command} "):
            continue
        if (chosen.since and row.time < chosen.since) or (chosen.until and row.time > chosen.until):
            continue
        yield row
