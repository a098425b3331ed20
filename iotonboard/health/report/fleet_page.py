"""The page of an office: the fleet of all its stations, in the form of a station's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.health.finding import Status
from iotonboard.health.report import charts
from iotonboard.health.report.charts import Series
from iotonboard.health.report.markup import element
from iotonboard.health.report.parts import STATUS_COLOURS, audit_rows, checks_table, document, section, table, tiles
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from xml.etree.ElementTree import Element

    from iotonboard.health.finding import Finding
    from iotonboard.health.report.facts import AuditLine, Count, Month


@dataclass(frozen=True, slots=True)
class StationLine:
    """One station: its devices that are not retired, its newest journal, and when the first of its CRLs ends."""

    name: str
    devices: int
    active: int
    revoked: int
    journal: datetime | None
    crl_ends: datetime | None
    open_revocations: int


@dataclass(frozen=True, slots=True)
class OrderLine:
    """One order for production, and what was made under it."""

    number: int
    station: str
    devices: int
    made: int
    profile: str
    until: datetime
    status: str


@dataclass(frozen=True, slots=True)
class FleetFacts:
    """Everything on the page.

    ``past`` begins with all months before the last twelve, and ``coming`` ends with all behind the next.
    """

    title: str
    made_at: datetime
    registry: str
    fingerprint: str
    stations: tuple[StationLine, ...]
    statuses: tuple[Count, ...]
    orders: tuple[OrderLine, ...]
    past: tuple[Month, ...]
    coming: tuple[Month, ...]
    audit: tuple[AuditLine, ...]
    audit_rows: int
    audit_head: str
    checks: tuple[Finding, ...]

    @property
    def devices(self) -> int:
        """How many devices there are, whatever their status."""
        return sum(count.number for count in self.statuses)


def render_fleet_page(facts: FleetFacts) -> str:
    """Write the whole page."""
    return document(facts.title, facts.made_at, _header(facts), _tiles(facts), _sections(facts))


def _header(facts: FleetFacts) -> Element:
    fingerprint = element("span", {"class": "mono wrap"}, facts.fingerprint)
    said = f"Made on {rfc3339(facts.made_at)} from {facts.registry}, as far as stations told. Office, fingerprint "
    made = element("div", {"class": "soft"}, said, fingerprint)
    return element("header", {}, element("h1", {}, facts.title), made)


def _tiles(facts: FleetFacts) -> Element:
    problems = sum(check.status is not Status.OK for check in facts.checks)
    numbers = [("stations", len(facts.stations)), ("devices", facts.devices)]
    numbers += [(count.label, count.number) for count in facts.statuses if count.number]
    return tiles([*numbers, ("checks to look at", problems)])


def _sections(facts: FleetFacts) -> Iterator[Element]:
    yield section("What needs attention", [checks_table(facts.checks)], wide=True)
    yield section("Stations", [_stations(facts)], wide=True)
    colours = [STATUS_COLOURS.get(count.label, "series-1") for count in facts.statuses]
    yield section("Fleet by status", [charts.bars(facts.statuses, "Devices by status", colours)])
    yield section("Registrations and revocations, by month", [_past(facts)])
    yield section("Expiring and not renewed yet, by month", [_coming(facts)])
    if facts.orders:
        yield section("Orders for production", [_orders(facts)], wide=True)
    trail = audit_rows(facts.audit, facts.audit_rows, facts.audit_head)
    yield section("Latest decisions of the office", trail, wide=True)


def _stations(facts: FleetFacts) -> Element:
    rows = [
        (
            ("", one.name),
            ("", f"{one.devices:,}"),
            ("", f"{one.active:,}"),
            ("", f"{one.revoked:,}"),
            ("keep", rfc3339(one.journal) if one.journal else "nothing yet"),
            ("keep", rfc3339(one.crl_ends) if one.crl_ends else ""),
            ("", f"{one.open_revocations:,}"),
        )
        for one in facts.stations
    ]
    columns = ("station", "devices", "active", "revoked", "newest journal", "CRL ends", "revocations not on its CRL")
    return table(columns, rows)


def _orders(facts: FleetFacts) -> Element:
    rows = [
        (
            ("", str(one.number)),
            ("", one.station),
            ("", f"{one.made:,} of {one.devices:,}"),
            ("", one.profile or "any"),
            ("keep", rfc3339(one.until)),
            ("", one.status),
        )
        for one in facts.orders
    ]
    return table(("order", "station", "made", "profile", "until", "status"), rows)


def _past(facts: FleetFacts) -> Element:
    series = (
        Series("registered", "series-1", [month.registered for month in facts.past]),
        Series("revoked, renewals aside", "series-2", [month.revoked for month in facts.past]),
    )
    return charts.months([month.label for month in facts.past], series, "Registrations and revocations by month")


def _coming(facts: FleetFacts) -> Element:
    expiring = Series("expiring", "series-1", [month.expiring for month in facts.coming])
    return charts.months([month.label for month in facts.coming], [expiring], "Expiring by month")
