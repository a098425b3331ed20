"""What is due, as a calendar, metrics and a list show it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.disk.files import PUBLIC, write_atomic
from iotonboard.disk.reading import read_file
from iotonboard.health.calendar import days_named, render_ics
from iotonboard.health.expiry import render_prometheus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import date, datetime

    from iotonboard.health.expiry import Expiring


@dataclass(frozen=True, slots=True)
class Due:
    """What is due, and all CAs, CRLs and brokers be they due or not, as it is ``at`` a time.

    ``window`` is the longest time by which something is due. ``owner`` tells the calendars of one state, or of a
    broker's files, from others. ``replaced`` are days on which something was to end that was replaced or revoked.
    """

    due: tuple[Expiring, ...]
    standing: tuple[Expiring, ...]
    at: datetime
    window: timedelta
    owner: str
    replaced: frozenset[date] = frozenset()

    def calendar(self, before: str = "") -> str:
        """The calendar (RFC 5545), which cancels what the one ``before`` it names and is not so any more."""
        ending = {item.not_after.date() for item in (*self.due, *self.standing)}
        begin, end = (self.at - self.window).date(), (self.at + self.window).date()
        known = days_named(before, self.owner)
        named = {day: known.get(day, 0) for day in (*known, *self.replaced) if begin <= day <= end or day in ending}
        due = {item.not_after.date() for item in self.due}
        earlier = {day: sequence for day, sequence in named.items() if day in due or day not in ending}
        return render_ics(self.due, earlier, self.at, self.owner)


def write_found(found: Due, ics: str | None, prometheus: str | None) -> Due:
    """Write calendar and metrics into files, where those are named; a calendar ``-`` is printed by the caller.

    Raises:
        BusyError: the disk refuses.
    """
    if ics is not None and ics != "-":
        before = read_file(ics).decode("utf-8", "replace") if os.path.isfile(ics) else ""
        write_atomic(ics, found.calendar(before).encode("utf-8"), PUBLIC)
    if prometheus is not None:
        write_atomic(prometheus, render_prometheus(found.due, found.standing).encode("utf-8"), PUBLIC)
    return found


def due_of(standing: Iterable[Expiring], days: Callable[[str], int], now: datetime) -> Iterator[Expiring]:
    """What of it ends within the days of its kind."""
    return (item for item in standing if item.not_after <= now + timedelta(days=days(item.kind)))
