"""The page itself: one HTML file that needs nothing else."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING
from xml.etree.ElementTree import tostring

from iotonboard.health.finding import Status
from iotonboard.health.report import charts
from iotonboard.health.report.charts import Series
from iotonboard.health.report.markup import element
from iotonboard.health.report.words import attribute_in_words, several
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from xml.etree.ElementTree import Element

    from iotonboard.health.finding import Finding
    from iotonboard.health.report.facts import Above, Facts

_STATUS_COLOURS = {"active": "good", "on-hold": "warning", "expired": "warning", "revoked": "bad", "retired": "quiet"}
_MARKS = {Status.WARNING: "!", Status.FAILED: "✗"}
# No script, no font, no picture and no other file: the page may lie beside hostile ones on a stick.
_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def render_page(facts: Facts) -> str:
    """Write the whole page. Texts that people gave are escaped; the style is ``page.css`` beside this file."""
    style = resources.files(__package__).joinpath("page.css").read_text("utf-8")
    head = element(
        "head", {},
        element("meta", {"charset": "utf-8"}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("meta", {"http-equiv": "Content-Security-Policy", "content": _SECURITY_POLICY}),
        element("title", {}, f"{facts.title} - {rfc3339(facts.made_at)}"),
        element("style", {}, style),
    )  # fmt: skip
    grid = element("div", {"class": "grid"}, *_sections(facts))
    body = element("body", {}, element("main", {}, _header(facts), _tiles(facts), grid))
    page = element("html", {"lang": "en"}, head, body)
    return f"<!doctype html>\n{tostring(page, 'unicode', method='html')}\n"


def _header(facts: Facts) -> Element:
    ca = f"{facts.ca_name}, valid until {rfc3339(facts.ca_not_after)}"
    fingerprint = element("span", {"class": "mono wrap"}, facts.ca_fingerprint)
    made = element("div", {"class": "soft"}, f"Made on {rfc3339(facts.made_at)}. {ca}, fingerprint ", fingerprint)
    return element("header", {}, element("h1", {}, facts.title), made, *map(_above, facts.above))


def _above(ca: Above) -> Element:
    """A CA above, and how long its list lasts that is here."""
    ends = f"our copy of its list ends on {rfc3339(ca.list_ends)}" if ca.list_ends else "no list of it is here"
    fingerprint = element("span", {"class": "mono wrap"}, ca.fingerprint)
    said = f"Below {ca.name}, valid until {rfc3339(ca.not_after)}; {ends}. Fingerprint "
    return element("div", {"class": "soft"}, said, fingerprint)


def _tiles(facts: Facts) -> Element:
    problems = sum(check.status is not Status.OK for check in facts.checks)
    tiles = [("devices", facts.devices), *((count.label, count.number) for count in facts.statuses if count.number)]
    tiles += [("on the CRL", facts.listed), ("checks to look at", problems)]
    shown = [element("div", {"class": "tile"}, element("b", {}, f"{number:,}"), label) for label, number in tiles]
    return element("div", {"class": "tiles"}, *shown)


def _sections(facts: Facts) -> Iterator[Element]:
    yield _section("What needs attention", [_checks(facts.checks)], wide=True)
    colours = [_STATUS_COLOURS.get(count.label, "series-1") for count in facts.statuses]
    yield _section("Fleet by status", [charts.bars(facts.statuses, "Devices by status", colours)])
    yield _section("Fleet by attribute", _attributes(facts))
    yield _section("Registrations and revocations, by month", [_past(facts)])
    yield _section("Expiring and not renewed yet, by month", [_coming(facts)])
    yield _section("CRLs", _crls(facts), wide=True)
    yield _section("Latest changes", _audit(facts), wide=True)


def _section(title: str, content: Iterable[Element], *, wide: bool = False) -> Element:
    return element("section", {"class": "wide"} if wide else {}, element("h2", {}, title), *content)


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


def _checks(checks: Sequence[Finding]) -> Element:
    failing = [check for check in checks if check.status is not Status.OK]
    if not failing:
        return element("p", {}, element("span", {"class": "mark"}, "✓"), f" All {len(checks)} checks are well.")
    rows = []
    for check in failing:
        colour = "failed" if check.status is Status.FAILED else "attention"
        mark = f"{_MARKS[check.status]} {check.status}"
        rows.append(((f"mark {colour}", mark), ("", check.name), ("wrap", check.message), ("wrap", check.hint)))
    return _table(("", "check", "what", "what to do"), rows)


def _audit(facts: Facts) -> Iterator[Element]:
    yield element("p", {"class": "soft"}, "Head of the trail: ", element("span", {"class": "mono"}, facts.audit_head))
    rows = [
        (
            ("", str(line.seq)),
            ("keep", rfc3339(line.time)),
            ("wrap", line.operator),
            ("", line.command),
            ("wrap", line.subject),
            ("wrap", line.detail),
        )
        for line in facts.audit
    ]
    yield _table(("row", "time", "who", "verb", "about", "detail"), rows)
    if more := facts.audit_rows - len(rows):
        text = f"{several(facts.audit_rows, 'row')}, the newest {len(rows)} shown, {more:,} more: iotonboard audit show"
        yield element("p", {"class": "soft"}, text)


def _table(columns: Sequence[str], rows: Iterable[Sequence[tuple[str, str]]]) -> Element:
    """A table of cells, each with its class and text. On a narrow screen a row is a card, whose cells are labelled."""
    head = element("tr", {}, *(element("th", {}, column) for column in columns))
    body = (
        element("tr", {}, *(_cell(*cell, column) for column, cell in zip(columns, row, strict=True))) for row in rows
    )
    return element("table", {"class": "cards"}, element("thead", {}, head), element("tbody", {}, *body))


def _cell(kind: str, text: str, column: str) -> Element:
    return element("td", {"class": kind, "data-column": column}, text)
