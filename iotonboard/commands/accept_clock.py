"""``accept-clock``: go on from a clock that was corrected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.errors import StateError
from iotonboard.model import from_epoch, to_epoch

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.state.state import State


def accept_clock(state: State) -> tuple[datetime, datetime]:
    """Go on from the clock as it is; returns the time of the last event before and the one now.

    Raises:
        StateError: the state has no last event.
    """
    last = state.store.meta("last_event")
    if last is None:
        raise StateError("the state records no event", hint="run 'iotonboard health'")
    with state.store.transaction():
        now = state.clock()
        state.store.set_meta("last_event", to_epoch(now))
        state.record(now, "clock", detail={"last_event": last})
    return from_epoch(last), now
