"""When the CRLs of one generation begin and end: a single list, or a calendar of lists signed ahead of time.

A broker takes, of several CRLs of one CA, the one with the newest thisUpdate that is not in the future. So
a file with overlapping lists that begin later and later is a calendar: the broker moves from one to the
next by itself. The price is replay: whoever puts an old calendar back un-revokes, until that calendar
ends, what was revoked after it was signed. Hence the cap on the horizon, and the ACL as second barrier.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.errors import BusyError, PolicyError
from iotonboard.model import LATEST, from_epoch, to_epoch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iotonboard.store.store import Store

_KEY = "crl_calendar"  # of the calendar that the state keeps
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Calendar:
    """``count`` lists, one for each ``every_days``; ``anchor`` (epoch) is the start of the first one ever.

    ``round`` counts the generations since the anchor. A planned list begins that many seconds after its
    planned time, so that at any moment the newer generation's list is the newer one.
    """

    count: int
    every_days: int
    anchor: int
    round: int = 0

    @property
    def horizon_days(self) -> int:
        """How long the lists last that are signed at the anchor."""
        return self.count * self.every_days

    def capped(self, max_days: int) -> Calendar:
        """The same calendar with only as many lists as end within ``max_days``, at least one."""
        return replace(self, count=max(min(self.count, max_days // self.every_days), 1))


def load_calendar(store: Store) -> Calendar | None:
    """The calendar that the state keeps; ``None`` when it keeps none, or somebody wrote what cannot be one."""
    try:
        calendar = Calendar(**json.loads(store.meta(_KEY) or "{}"))
        numbers = (calendar.count, calendar.every_days, calendar.anchor + 1, calendar.round + 1)
        is_sound = all(isinstance(one, int) and 0 < one <= LATEST for one in numbers)
    except (TypeError, ValueError):
        return None
    return calendar if is_sound else None


def save_calendar(store: Store, calendar: Calendar | None) -> None:
    """Keep another calendar, or none any more, inside the caller's transaction."""
    store.set_meta(_KEY, json.dumps(asdict(calendar)) if calendar else "")


def new_calendar(count: int, every_days: int, now: datetime, *, max_days: int) -> Calendar:
    """Plan a calendar that begins now.

    Raises:
        PolicyError: it would last longer than ``max_days``.
    """
    calendar = Calendar(count, every_days, to_epoch(now))
    if calendar.horizon_days > max_days:
        raise PolicyError(
            f"a calendar of {count} x {every_days} days reaches {calendar.horizon_days} days ahead;"
            f" crl_calendar_max_days allows {max_days}",
            hint="a calendar that is put back un-revokes until it ends: shorten it, or raise crl_calendar_max_days",
        )
    return calendar


@dataclass(frozen=True, slots=True)
class Period:
    """thisUpdate and nextUpdate of one list."""

    this_update: datetime
    next_update: datetime


def first_update(
    now: datetime,
    in_force: datetime | None,
    not_before: datetime,
    *,
    skew_minutes: int,
    dated: datetime | None = None,
) -> datetime:
    """Choose thisUpdate of the list that is in force at once: backdated, yet newer than the one before.

    ``in_force`` is thisUpdate of the list that the broker uses now; ``not_before`` that of the CA; ``dated`` the date
    of the newest revocation, no later than which an entry's first list may begin. What lies so far ahead that a clock
    must have been wrong counts for nothing: no broker takes such a list.

    Raises:
        BusyError: lists were signed so fast that the next one would begin in the future.
    """
    begin = max(now - timedelta(minutes=skew_minutes), not_before)
    if in_force is not None and in_force <= now + timedelta(minutes=max(skew_minutes, 1)):
        begin = max(begin, in_force + _SECOND)
    if dated is not None and dated <= now:
        begin = max(begin, dated)
    if begin > now:
        raise BusyError("thisUpdate would lie in the future", hint="wait a few seconds and run the command again")
    return begin


def continue_periods(last: Sequence[Period]) -> list[Period]:
    """Plan a generation by a clock that is disputed: a broker that took the ``last`` lists takes these in their place.

    Each begins a second after the one that it replaces, and ends with it; so does each list of a calendar.
    """
    return [Period(period.this_update + _SECOND, period.next_update) for period in last]


def plan_periods(first: datetime, now: datetime, *, days: int, calendar: Calendar | None) -> list[Period]:
    """Plan every list of a generation; the first one is in force at once.

    Without a calendar: one list of ``days``. With one: the first list, and those of the next planned times.
    Every list but the last lasts until the one after the next begins, so a broker never has none.
    """
    if calendar is None:
        return [Period(first, now + timedelta(days=days))]
    every = timedelta(days=calendar.every_days)
    if calendar.count == 1:  # up to the next planned time it might be minutes
        return [Period(first, now + every)]
    anchor = from_epoch(calendar.anchor)
    passed = max((now - anchor) // every, 0)
    shift = calendar.round * _SECOND
    planned = [anchor + every * (passed + step) + shift for step in range(1, calendar.count + 1)]
    horizon = planned[-1]
    return [Period(begin, end) for begin, end in zip([first, *planned[:-1]], [*planned[1:], horizon], strict=True)]
