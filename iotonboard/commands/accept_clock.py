"""``accept-clock``: go on from a clock that was corrected.

1. Look whether there is a last event, then unlock the CA: a wrong clock that is accepted issues for a wrong time.
2. In one transaction: the clock becomes the measure, what is dated behind it is dated anew, and the trail is sealed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.ca.authority import refuse_changed, seal_audit
from iotonboard.errors import StateError
from iotonboard.model import from_epoch, whole_seconds
from iotonboard.state.changes import believe_clock

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.ca.authority import Unlock
    from iotonboard.state.state import State


def accept_clock(state: State, unlock: Unlock) -> tuple[datetime, datetime]:
    """Go on from the clock as it is; returns the time of the last event before and the one now.

    Raises:
        StateError: the state has no last event.
        KeyUnavailableError: the CA key is missing, or the passphrase does not open it; nothing has changed.
        BusyError: the state is locked or the disk refuses.
    """
    if state.read_clock().last_event is None:
        raise StateError("the state records no event", hint="run 'iotonboard health'")
    authority = unlock()
    with state.noting():
        refuse_changed(state, authority)
        now = whole_seconds(state.clock())
        last = believe_clock(state, now)
        seal_audit(state, authority)
    return from_epoch(last or 0), now
