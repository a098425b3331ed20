"""Charts as inline SVG. Every bar carries its number as text, so colour never stands alone.

Sizes are in the SVG's own units, about one to a pixel: the page has columns of two widths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from iotonboard.health.report.markup import element

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from xml.etree.ElementTree import Element

    from iotonboard.health.report.facts import Count, CrlSpan

WIDTH, WIDE = 470, 960
_ROW, _BAR = 26, 16
_LABEL_WIDTH, _NUMBER_WIDTH, _STANDING_WIDTH = 150, 84, 150
_COLUMN_HEIGHT, _AXIS = 130, 36
_BASELINE = _COLUMN_HEIGHT + 14  # room for a number above the highest column
_LONGEST_LABEL = 20
_STANDINGS = {"replaced": "quiet", "in force": "good", "to come": "series-1"}


class Series(NamedTuple):
    """One row of columns: a number for each month. ``colour`` is a class of the style sheet."""

    name: str
    colour: str
    numbers: Sequence[int]


def bars(counts: Sequence[Count], title: str, colours: Sequence[str] = ()) -> Element:
    """Horizontal bars, one for each count, in the order given; ``colours`` are classes, one by one."""
    most = max((count.number for count in counts), default=0) or 1
    room = WIDTH - _LABEL_WIDTH - _NUMBER_WIDTH
    marks: list[Element] = []
    for index, count in enumerate(counts):
        y = index * _ROW
        length = max(round(room * count.number / most), 2 if count.number else 0)
        colour = colours[index] if index < len(colours) else "series-1"
        marks += (
            _text(_LABEL_WIDTH - 10, y + 13, _shorten(count.label), "label end"),
            _bar(_LABEL_WIDTH, y + 1, length, _BAR, colour),
            _text(_LABEL_WIDTH + length + 8, y + 13, f"{count.number:,}", "number"),
        )
    return _drawing(marks, len(counts) * _ROW, title)


def columns(months: Sequence[str], series: Sequence[Series], title: str) -> Element:
    """Columns side by side for each month (``2030-01``)."""
    most = max((number for one in series for number in one.numbers), default=0)
    step = WIDTH / max(len(months), 1)
    width = min(step * 0.8 / max(len(series), 1), 34)
    marks = [element("line", {"x1": 0, "y1": _BASELINE, "x2": WIDTH, "y2": _BASELINE, "class": "axis"})]
    for position, month in enumerate(months):
        middle = step * (position + 0.5)
        marks += _month_labels(month, middle, with_year=position == 0)
        for index, one in enumerate(series):
            x = middle + (index - len(series) / 2) * width
            marks += _column(x, width, one.numbers[position], most, one.colour)
    if not most:
        marks.append(_text(WIDTH / 2, _COLUMN_HEIGHT / 2, "none in these months", "label middle"))
    return _drawing(marks, _BASELINE + _AXIS, title)


def legend(series: Sequence[Series]) -> Element:
    """Say which colour is which series."""
    items = [element("li", {}, element("span", {"class": f"swatch {one.colour}"}), one.name) for one in series]
    return element("ul", {"class": "legend"}, *items)


def timeline(spans: Sequence[CrlSpan], now: datetime, title: str) -> Element:
    """One line for each CRL from thisUpdate to nextUpdate, with the present as an upright line."""
    begin = min([now, *(span.this_update for span in spans)])
    end = max([now, *(span.next_update for span in spans)])
    whole = max((end - begin).total_seconds(), 1)
    room = WIDE - _LABEL_WIDTH - _STANDING_WIDTH

    def place(moment: datetime) -> float:
        return _LABEL_WIDTH + room * (moment - begin).total_seconds() / whole

    marks: list[Element] = []
    for index, span in enumerate(spans):
        y, left, right = index * _ROW, place(span.this_update), place(span.next_update)
        whose = "other CA" if span.is_of_others else "old CA" if span.is_old else "CRL"
        name = f"{whose} {span.number} ({span.revoked:,} revoked)"
        marks += (
            _text(_LABEL_WIDTH - 10, y + 13, name, "label end"),
            _bar(left, y + 1, max(right - left, 2), _BAR, _STANDINGS[span.standing]),
            _text(right + 6, y + 13, f"{span.next_update:%Y-%m-%d}, {span.standing}", "number"),
        )
    height, x = max(len(spans), 1) * _ROW, f"{place(now):.1f}"
    marks.append(element("line", {"x1": x, "y1": 0, "x2": x, "y2": height, "class": "now"}))
    marks.append(_text(place(now), height + 12, "today", "label middle"))
    return _drawing(marks, height + 16, title, WIDE)


def _month_labels(month: str, middle: float, *, with_year: bool) -> Iterator[Element]:
    """The month below the axis, and its year below the first one and each January."""
    year, number = month.split("-")
    yield _text(middle, _COLUMN_HEIGHT + 30, number, "label middle")
    if with_year or number == "01":
        yield _text(middle, _COLUMN_HEIGHT + 45, year, "label middle")


def _column(x: float, width: float, number: int, most: int, colour: str) -> Iterator[Element]:
    if number:
        height = max((_COLUMN_HEIGHT - 4) * number / most, 2)
        top = _BASELINE - height
        yield _bar(x + 1, top, width - 2, height, colour)
        yield _text(x + width / 2, top - 4, _compact(number), "number small middle")


def _bar(x: float, y: float, width: float, height: float, colour: str) -> Element:
    size = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{width:.1f}", "height": f"{height:.1f}"}
    return element("rect", {**size, "rx": 3, "class": colour})


def _text(x: float, y: float, text: str, kind: str) -> Element:
    return element("text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "class": kind}, text)


def _drawing(marks: Iterable[Element], height: float, title: str, width: int = WIDTH) -> Element:
    attributes = {"viewBox": f"0 0 {width} {max(height, 1):.0f}", "role": "img", "aria-label": title}
    return element("svg", attributes, element("title", {}, title), *marks)


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"


def _compact(number: int) -> str:
    """A number that fits over a column: ``12.3k`` from ten thousand on."""
    if number >= 1_000_000:
        return f"{number / 1_000_000:.1f}M"
    return f"{number / 1000:.1f}k" if number >= 10_000 else str(number)
