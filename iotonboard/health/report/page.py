"""The page itself: one HTML file that needs nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.health.finding import Status
from iotonboard.health.report import charts
from iotonboard.health.report.charts import Series
from iotonboard.health.report.markup import element
from iotonboard.health.report.parts import STATUS_COLOURS, audit_rows, checks_table, document, section, tiles
from iotonboard.health.report.words import attribute_in_words
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

    from iotonboard.health.report.facts import Above, Added, Facts


def render_page(facts: Facts) -> str:
    """Write the whole page."""
    return document(facts.title, facts.made_at, _header(facts), _tiles(facts), _sections(facts))


def _header(facts: Facts) -> Element:
    ca = f"{facts.ca_name}, valid until {rfc3339(facts.ca_not_after)}"
    fingerprint = element("span", {"class": "mono wrap"}, facts.ca_fingerprint)
    made = element("div", {"class": "soft"}, f"Made on {rfc3339(facts.made_at)}. {ca}, fingerprint ", fingerprint)
    return element(
        "header", {}, element("h1", {}, facts.title), made, *map(_above, facts.above), *map(_added, facts.added)
    )


def _above(ca: Above) -> Element:
    """A CA above, and how long its list lasts that is here."""
    ends = f"our copy of its list ends on {rfc3339(ca.list_ends)}" if ca.list_ends else "no list of it is here"
    fingerprint = element("span", {"class": "mono wrap"}, ca.fingerprint)
    said = f"Below {ca.name}, valid until {rfc3339(ca.not_after)}; {ends}. Fingerprint "
    return element("div", {"class": "soft"}, said, fingerprint)


def _added(ca: Added) -> Element:
    """A CA beside, whose devices are on a page of their own."""
    ends = f"its list lasts until {rfc3339(ca.list_ends)}" if ca.list_ends else "it has no list"
    fingerprint = element("span", {"class": "mono wrap"}, ca.fingerprint)
    said = f"Beside it the CA {ca.name!r} for {ca.devices} devices that no broker knows (report --ca {ca.name}),"
    life = f" valid until {rfc3339(ca.not_after)}; {ends}. Fingerprint "
    return element("div", {"class": "soft"}, said, life, fingerprint)


def _tiles(facts: Facts) -> Element:
    problems = sum(check.status is not Status.OK for check in facts.checks)
    numbers = [("devices", facts.devices), *((count.label, count.number) for count in facts.statuses if count.number)]
    numbers += [("on the CRL", facts.listed), ("checks to look at", problems)]
    return tiles(numbers)


def _sections(facts: Facts) -> Iterator[Element]:
    yield section("What needs attention", [checks_table(facts.checks)], wide=True)
    colours = [STATUS_COLOURS.get(count.label, "series-1") for count in facts.statuses]
    yield section("Fleet by status", [charts.bars(facts.statuses, "Devices by status", colours)])
    yield section("Fleet by attribute", _attributes(facts))
    yield section("Registrations and revocations, by month", [_past(facts)])
    yield section("Expiring and not renewed yet, by month", [_coming(facts)])
    yield section("CRLs", _crls(facts), wide=True)
    yield section("Latest changes", audit_rows(facts.audit, facts.audit_rows, facts.audit_head), wide=True)


def _attributes(facts: Facts) -> Iterator[Element]:
    if not facts.attributes:
        yield element("p", {"class": "soft"}, "No device has an attribute (register --set KEY=VALUE).")
    for attribute in facts.attributes:
        yield element("h3", {}, attribute.name)
        if attribute.shown:
            yield charts.bars(attribute.shown, f"Devices by {attribute.name}")
        yield element("p", {"class": "soft wrap"}, attribute_in_words(attribute))
    if facts.more_attributes:
        names = ", ".join(facts.more_attributes)
        text = f"{len(facts.more_attributes)} more, which fewer devices have: {names}"
        yield element("p", {"class": "soft wrap"}, text)


def _past(facts: Facts) -> Element:
    series = (
        Series("registered", "series-1", [month.registered for month in facts.past]),
        Series("revoked, renewals aside", "series-2", [month.revoked for month in facts.past]),
    )
    return charts.months([month.label for month in facts.past], series, "Registrations and revocations by month")


def _coming(facts: Facts) -> Element:
    expiring = Series("expiring", "series-1", [month.expiring for month in facts.coming])
    return charts.months([month.label for month in facts.coming], [expiring], "Expiring by month")


def _crls(facts: Facts) -> Iterator[Element]:
    yield charts.timeline(facts.crls, facts.made_at, "CRLs over time")
    said = f"The upright line is {rfc3339(facts.made_at)}."
    if facts.crls_to_come:
        said += f" {facts.crls_to_come:,} more to come."
    yield element("p", {"class": "soft"}, said)
