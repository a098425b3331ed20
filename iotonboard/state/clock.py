"""The state of the clock: right, or disputed because it disagrees with the last recorded event.

By a disputed clock nothing is issued and nothing has expired; recording goes on, and does not make it the measure. A
revocation is signed all the same. What cannot be taken back waits until a day after the dispute.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.errors import PolicyError
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.state.config import Config


DISPUTED, SETTLED = "clock_disputed", "clock_settled"  # single values: whether it is, and since when it no longer is
_A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ClockReading:
    """What the clock said once. ``dispute`` is why it cannot be right, ``None`` where it can.

    ``last_event`` is the time of the last recorded event, ``None`` before the first one.
    """

    now: datetime
    last_event: datetime | None
    dispute: PolicyError | None

    @property
    def trusted(self) -> datetime:
        """The time by which something has expired: where the clock is disputed, that of the last event."""
        return self.now if self.dispute is None or self.last_event is None else self.last_event

    @property
    def earliest(self) -> datetime:
        """The time by which something has expired whoever is right, the clock or the last event.

        A revocation goes by it: the last event may be what a wrong clock said, and be disputed by one that was set.
        """
        return min(self.now, self.trusted)

    def may_destroy(self, settled: datetime | None) -> bool:
        """Say whether what has expired may be erased: not under a dispute, nor within a day after one.

        ``settled``: when the last dispute ended; ``None`` when there never was one.
        """
        return self.dispute is None and (settled is None or self.now - settled >= _A_DAY)


def read_clock(now: datetime, last_event: datetime | None, settings: Config) -> ClockReading:
    """Hold the clock against the last event.

    It is disputed when it is earlier than that by more than the skew, or later by more than the allowed jump.
    """
    if last_event is None:
        return ClockReading(now, None, None)
    skew = timedelta(minutes=max(settings["not_before_skew_minutes"], 1))
    jump = timedelta(days=settings["max_clock_jump_days"])
    if now - jump <= last_event <= now + skew:
        return ClockReading(now, last_event, None)
    direction = "behind" if now < last_event else "ahead of"
    dispute = PolicyError(
        f"the clock says {rfc3339(now)}, far {direction} the last event at {rfc3339(last_event)}",
        hint="set the clock; when it is right, 'iotonboard accept-clock' goes on from there",
    )
    return ClockReading(now, last_event, dispute)
