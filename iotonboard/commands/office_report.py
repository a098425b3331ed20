"""``report`` at an office: one page over the fleet, from queries that count inside the registry."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.disk.files import PRIVATE, refuse_existing, write_atomic
from iotonboard.health.finding import Finding, Status
from iotonboard.health.report.facts import AuditLine, Count, Month
from iotonboard.health.report.fleet_page import FleetFacts, OrderLine, StationLine, render_fleet_page
from iotonboard.health.report.words import detail_in_words
from iotonboard.model import from_epoch
from iotonboard.office.judging import standing
from iotonboard.office.ordered import list_orders
from iotonboard.office.watching import look
from iotonboard.store.audit import printable_head
from iotonboard.store.registry import counts, trail
from iotonboard.store.registry.stations import station_notes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotonboard.office.office import Office

_STATUSES = ("active", "expired", "on-hold", "revoked", "retired")
_MONTHS = 12
_AUDIT_ROWS = 20
_LONGEST = 200  # characters of one value, such as a certificate


def report(office: Office, path: str | None = None, *, force: bool = False) -> FleetFacts:
    """Gather what the page shows, and write it to ``path`` where one is named.

    Raises:
        ConflictError: ``path`` exists and ``force`` was not asked for.
        BusyError: the disk refuses.
    """
    if path is not None and not force:
        refuse_existing(path)
    facts = _gather(office)
    if path is not None:
        write_atomic(path, render_fleet_page(facts).encode("utf-8", "backslashreplace"), PRIVATE)
    return facts


def _gather(office: Office) -> FleetFacts:
    now, newest = office.clock(), trail.head(office.registry)
    by_station = counts.count_fleet(office.registry, now)
    past, coming = _past(office, now), _coming(office, now)
    return FleetFacts(
        title="Device identities of all stations",
        made_at=now,
        registry=office.registry.place,
        fingerprint=sha256(office.chain[-1]).hexdigest(),
        stations=tuple(_stations(office, by_station)),
        statuses=tuple(Count(each, sum(one.get(each, 0) for one in by_station.values())) for each in _STATUSES),
        orders=tuple(
            OrderLine(one.id, one.station, one.devices, one.made, one.profile, one.until, one.status)
            for one in list_orders(office).production
        ),
        past=past,
        coming=coming,
        audit=_latest(office, newest.seq),
        audit_rows=newest.seq,
        audit_head=printable_head(newest),
        checks=tuple(Finding(one.name, Status(one.level), one.message, one.hint) for one in look(office)),
    )


def _stations(office: Office, by_station: dict[str, dict[str, int]]) -> Iterator[StationLine]:
    notes = station_notes(office.registry)
    for one in sorted(standing(office.decisions), key=lambda one: one.name):
        found, note = by_station.get(one.name, {}), notes.get(one.id)
        ends = note.crl_ends if note else None
        yield StationLine(
            one.name,
            sum(found.values()) - found.get("retired", 0),
            found.get("active", 0),
            found.get("revoked", 0),
            from_epoch(one.created) if one.taken else None,
            None if ends is None else from_epoch(ends),
            sum(order.station == one.id for order in office.decisions.open_revocations),
        )


def _past(office: Office, now: datetime) -> tuple[Month, ...]:
    begins = [_month(now, offset) for offset in range(1 - _MONTHS, 1)]
    labels = ["earlier", *(f"{one:%Y-%m}" for one in begins)]
    made, taken_back = counts.registered(office.registry, begins), counts.revoked(office.registry, begins)
    return tuple(Month(*one) for one in zip(labels, made, taken_back, strict=True))


def _coming(office: Office, now: datetime) -> tuple[Month, ...]:
    borders = [now, *(_month(now, offset) for offset in range(1, _MONTHS + 2))]
    labels = [*(f"{_month(now, offset):%Y-%m}" for offset in range(_MONTHS + 1)), "later"]
    ends = counts.ending(office.registry, borders)[1:]
    return tuple(Month(label, expiring=count) for label, count in zip(labels, ends, strict=True))


def _month(now: datetime, offset: int) -> datetime:
    """The beginning of a month, so many months from now."""
    year, month = divmod(now.year * 12 + now.month - 1 + offset, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


def _latest(office: Office, newest: int) -> tuple[AuditLine, ...]:
    rows = list(trail.rows(office.registry, max(newest - _AUDIT_ROWS, 0)))
    return tuple(
        AuditLine(
            row.seq, from_epoch(row.time), f"{row.operator}@{row.host}", row.command, row.subject,
            detail_in_words({key: value for key, value in row.said.items() if len(str(value)) < _LONGEST}),
        )
        for row in reversed(rows)
    )  # fmt: skip
