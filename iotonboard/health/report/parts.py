"""What every page is made of: one HTML file that needs nothing else, its sections, tables and what needs attention."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING
from xml.etree.ElementTree import tostring

from iotonboard.health.finding import Status
from iotonboard.health.report.markup import element
from iotonboard.health.report.words import several
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from xml.etree.ElementTree import Element

    from iotonboard.health.finding import Finding
    from iotonboard.health.report.facts import AuditLine

STATUS_COLOURS = {"active": "good", "on-hold": "warning", "expired": "warning", "revoked": "bad", "retired": "quiet"}
_MARKS = {Status.WARNING: "!", Status.FAILED: "✗"}
# No script, no font, no picture and no other file: the page may lie beside hostile ones on a stick.
_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def document(title: str, made_at: datetime, header: Element, tiles: Element, sections: Iterable[Element]) -> str:
    """Write a whole page. Texts that people gave are escaped; the style is ``page.css`` beside this file."""
    style = resources.files(__package__).joinpath("page.css").read_text("utf-8")
    head = element(
        "head", {},
        element("meta", {"charset": "utf-8"}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("meta", {"http-equiv": "Content-Security-Policy", "content": _SECURITY_POLICY}),
        element("title", {}, f"{title} - {rfc3339(made_at)}"),
        element("style", {}, style),
    )  # fmt: skip
    grid = element("div", {"class": "grid"}, *sections)
    body = element("body", {}, element("main", {}, header, tiles, grid))
    page = element("html", {"lang": "en"}, head, body)
    return f"<!doctype html>\n{tostring(page, 'unicode', method='html')}\n"


def tiles(numbers: Iterable[tuple[str, int]]) -> Element:
    """Numbers in large type, each with its label."""
    shown = [element("div", {"class": "tile"}, element("b", {}, f"{number:,}"), label) for label, number in numbers]
    return element("div", {"class": "tiles"}, *shown)


def section(title: str, content: Iterable[Element], *, wide: bool = False) -> Element:
    """A part of the page with its heading."""
    return element("section", {"class": "wide"} if wide else {}, element("h2", {}, title), *content)


def checks_table(checks: Sequence[Finding]) -> Element:
    """What needs attention, or that nothing does."""
    failing = [check for check in checks if check.status is not Status.OK]
    if not failing:
        return element("p", {}, element("span", {"class": "mark"}, "✓"), f" All {len(checks)} checks are well.")
    rows = []
    for check in failing:
        colour = "failed" if check.status is Status.FAILED else "attention"
        mark = f"{_MARKS[check.status]} {check.status}"
        rows.append(((f"mark {colour}", mark), ("", check.name), ("wrap", check.message), ("wrap", check.hint)))
    return table(("", "check", "what", "what to do"), rows)


def audit_rows(lines: Sequence[AuditLine], count: int, head: str) -> Iterator[Element]:
    """The newest rows of a trail, of ``count`` in all, and its head."""
    yield element("p", {"class": "soft"}, "Head of the trail: ", element("span", {"class": "mono"}, head))
    rows = [
        (
            ("", str(line.seq)),
            ("keep", rfc3339(line.time)),
            ("wrap", line.operator),
            ("", line.command),
            ("wrap", line.subject),
            ("wrap", line.detail),
        )
        for line in lines
    ]
    yield table(("row", "time", "who", "verb", "about", "detail"), rows)
    if more := count - len(rows):
        text = f"{several(count, 'row')}, the newest {len(rows)} shown, {more:,} more: iotonboard audit show"
        yield element("p", {"class": "soft"}, text)


def table(columns: Sequence[str], rows: Iterable[Sequence[tuple[str, str]]]) -> Element:
    """A table of cells, each with its class and text. On a narrow screen a row is a card, whose cells are labelled."""
    head = element("tr", {}, *(element("th", {}, column) for column in columns))
    body = (
        element("tr", {}, *(_cell(*cell, column) for column, cell in zip(columns, row, strict=True))) for row in rows
    )
    return element("table", {"class": "cards"}, element("thead", {}, head), element("tbody", {}, *body))


def _cell(kind: str, text: str, column: str) -> Element:
    return element("td", {"class": kind, "data-column": column}, text)
