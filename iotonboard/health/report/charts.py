"""Charts as tables whose bars lie beside their numbers: texts wrap and are never cut, on paper and on a telephone too.

Every bar carries its number and every mark its word, so colour never stands alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from iotonboard.health.report.markup import element

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from xml.etree.ElementTree import Element

    from iotonboard.health.report.facts import Count, CrlSpan

_STANDINGS = {"replaced": "quiet", "in force": "good", "to come": "series-1"}


class Series(NamedTuple):
    """A column of bars: a number for each row. ``colour`` is a class of the style sheet."""

    name: str
    colour: str
    numbers: Sequence[int]


def bars(counts: Sequence[Count], title: str, colours: Sequence[str] = ()) -> Element:
    """Bars, one for each count, in the order given; ``colours`` are classes, one by one."""
    most = max((count.number for count in counts), default=0)
    rows = []
    for index, count in enumerate(counts):
        colour = colours[index] if index < len(colours) else "series-1"
        rows.append(_row(count.label, _bar(count.number, most, colour), _number(count.number)))
    return _chart(title, rows)


def months(labels: Sequence[str], series: Sequence[Series], title: str) -> Element:
    """For each month (``2030-01``) a bar of each series, all of one scale; a sentence where every number is 0."""
    most = max((number for one in series for number in one.numbers), default=0)
    if not most:
        return element("p", {"class": "soft"}, "none in these months")
    heads = (element("th", {"colspan": 2}, one.name) for one in series)
    head = element("tr", {}, element("th", {}, "month"), *heads)
    rows = [
        _row(label, *(cell for one in series for cell in _measured(one.numbers[index], most, one.colour)))
        for index, label in enumerate(labels)
    ]
    return _chart(title, [head, *rows], f"chart of-{len(series)}")


def timeline(spans: Sequence[CrlSpan], now: datetime, title: str) -> Element:
    """One line for each CRL from thisUpdate to nextUpdate, with the present as an upright line."""
    begin = min([now, *(span.this_update for span in spans)])
    whole = max((max([now, *(span.next_update for span in spans)]) - begin).total_seconds(), 1)

    def place(moment: datetime) -> float:
        return 100 * (moment - begin).total_seconds() / whole

    rows = []
    for span in spans:
        whose = "other CA" if span.is_of_others else "old CA" if span.is_old else "CRL"
        left, right = place(span.this_update), place(span.next_update)
        style = f"margin-left:{left:.2f}%;width:{max(right - left, 0.5):.2f}%"
        bar = element("div", {"class": f"bar {_STANDINGS[span.standing]}", "style": style})
        today = element("div", {"class": "now", "style": f"left:{place(now):.2f}%"})
        track = element("td", {"class": "drawn"}, element("div", {"class": "track"}, bar, today))
        until = element("td", {"class": "keep"}, f"{span.next_update:%Y-%m-%d}, {span.standing}")
        rows.append(_row(f"{whose} {span.number} ({span.revoked:,} revoked)", track, until))
    return _chart(title, rows)


def _chart(title: str, rows: Iterable[Element], kind: str = "chart") -> Element:
    return element("table", {"class": kind, "aria-label": title}, element("tbody", {}, *rows))


def _row(label: str, *cells: Element) -> Element:
    return element("tr", {}, element("td", {"class": "what"}, label), *cells)


def _measured(number: int, most: int, colour: str) -> tuple[Element, Element]:
    return _bar(number, most, colour), _number(number)


def _bar(number: int, most: int, colour: str) -> Element:
    length = max(100 * number / most, 0.5) if number else 0
    bar = element("div", {"class": f"bar {colour}", "style": f"width:{length:.2f}%"})
    return element("td", {"class": "drawn"}, bar)


def _number(number: int) -> Element:
    return element("td", {"class": "number"}, f"{number:,}")
