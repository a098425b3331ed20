"""What will expire, as a calendar (RFC 5545): one event for each day, which a later calendar changes or cancels."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from iotonboard.health.expiry import Expiring

_LONGEST_LINE = 75  # octets, without the line break (RFC 5545 3.1)
_TITLES = {"device": "device ", "broker": "broker ", "ca": "CA ", "crl": ""}
_PLURALS = {"device": "devices", "broker": "brokers", "ca": "CAs", "crl": "CRLs"}
_FIRST = datetime(2020, 1, 1, tzinfo=UTC)  # SEQUENCE is a number of 31 bits: seconds since then, until 2088
_NAMED = 50  # things by name in one event
_WARNINGS = ("-P7D", "-P1D")  # before what ends first that day
# A calendar has a component (RFC 5545 3.4), one without an event too.
_NOTHING = (
    "BEGIN:VTIMEZONE", "TZID:UTC", "BEGIN:STANDARD", "DTSTART:19700101T000000", "TZOFFSETFROM:+0000",
    "TZOFFSETTO:+0000", "END:STANDARD", "END:VTIMEZONE",
)  # fmt: skip


def render_ics(due: Iterable[Expiring], earlier: Mapping[date, int], now: datetime, owner: str) -> str:
    """One event for each day on which something ends, at the moment of the first, with warnings ahead.

    Days that an ``earlier`` calendar may have named, each with its SEQUENCE there or 0, and on which nothing ends any
    more, are cancelled. ``owner`` tells the events of one state from another's: a day's event has the same UID in each
    of its calendars, and a SEQUENCE that rises with time (RFC 5545 3.8.7.4).
    """
    days: dict[date, list[Expiring]] = {}
    for item in sorted(due, key=lambda item: item.not_after):
        days.setdefault(item.not_after.date(), []).append(item)
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//iotonboard//expiring//EN"]
    for day in sorted({*days, *earlier}):
        sequence = max(int((now - _FIRST).total_seconds()), earlier.get(day, 0) + 1)
        lines += _event(day, days.get(day, ()), f"day-{day.isoformat()}-{owner}@iotonboard", sequence, now)
    if not days and not earlier:
        lines += _NOTHING
    return "".join(_folded(line) for line in [*lines, "END:VCALENDAR"])


def days_named(calendar: str, owner: str) -> dict[date, int]:
    """The days for which an earlier calendar of that ``owner`` has an event, cancelled or not, with its SEQUENCE."""
    pattern = rf"^UID:day-(\d{{4}}-\d\d-\d\d)-{re.escape(owner)}@iotonboard\r?\nSEQUENCE:(\d{{1,10}})\r?$"
    found = re.findall(pattern, calendar, re.MULTILINE)
    return {day: int(sequence) for text, sequence in found if (day := _parsed(text))}


def _parsed(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _event(day: date, items: Sequence[Expiring], uid: str, sequence: int, now: datetime) -> Iterator[str]:
    start = items[0].not_after if items else datetime.combine(day, time(), UTC)
    yield "BEGIN:VEVENT"
    yield f"UID:{uid}"
    yield f"SEQUENCE:{sequence}"
    yield f"DTSTAMP:{now:%Y%m%dT%H%M%SZ}"
    yield f"DTSTART:{start:%Y%m%dT%H%M%SZ}"
    yield "TRANSP:TRANSPARENT"
    if items:
        yield "STATUS:CONFIRMED"
        yield f"SUMMARY:{_escaped(_title(items))}"
        yield f"DESCRIPTION:{_escaped(_description(items))}"
        for trigger in _WARNINGS:
            yield from _warning(trigger, _title(items))
    else:
        yield "STATUS:CANCELLED"
        yield "SUMMARY:nothing expires any more"
    yield "END:VEVENT"


def _warning(trigger: str, text: str) -> Iterator[str]:
    yield from ("BEGIN:VALARM", "ACTION:DISPLAY", f"TRIGGER:{trigger}", f"DESCRIPTION:{_escaped(text)}", "END:VALARM")


def _title(items: Sequence[Expiring]) -> str:
    """``device press-1 expires``, or ``12 devices and broker b expire``."""
    parts = []
    for kind, title in _TITLES.items():
        names = [item.name for item in items if item.kind == kind]
        if names:
            parts.append(f"{title}{names[0]}" if len(names) == 1 else f"{len(names)} {_PLURALS[kind]}")
    return f"{' and '.join(parts)} {'expires' if len(items) == 1 else 'expire'}"


def _description(items: Sequence[Expiring]) -> str:
    lines = [f"{_TITLES[item.kind]}{item.name} ({item.key})" for item in items[:_NAMED]]
    if len(items) > _NAMED:
        lines.append(f"and {len(items) - _NAMED} more: iotonboard expiring")
    return "\n".join([*lines, *dict.fromkeys(item.remedy for item in items)])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n")


def _folded(line: str) -> str:
    """A content line in pieces of at most 75 octets; what goes on begins with a blank."""
    octets, pieces = line.encode("utf-8"), []
    while len(octets) > _LONGEST_LINE:
        cut = _LONGEST_LINE
        while octets[cut] & 0xC0 == 0x80:
            cut -= 1
        pieces.append(octets[:cut])
        octets = b" " + octets[cut:]
    return b"\r\n".join([*pieces, octets]).decode("utf-8") + "\r\n"
