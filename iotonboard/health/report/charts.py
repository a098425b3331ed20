"""Charts as inline SVG. Every bar carries its number as text, so colour never stands alone.

Sizes are in the SVG's own units, about one to a pixel: the page has columns of two widths.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iotonboard.health.report.facts import Count, CrlSpan

WIDTH, WIDE = 470, 960
_ROW, _BAR = 26, 16
_LABEL_WIDTH, _NUMBER_WIDTH, _STANDING_WIDTH = 150, 84, 150
_COLUMN_HEIGHT, _AXIS = 130, 36
_LONGEST_LABEL = 20
_STANDINGS = {"replaced": "quiet", "in force": "good", "to come": "series-1"}


def bars(counts: Sequence[Count], title: str, classes: Sequence[str] = ()) -> str:
    """Horizontal bars, one for each count, in the order given; ``classes`` colour them one by one."""
    most = max((count.number for count in counts), default=0) or 1
    room = WIDTH - _LABEL_WIDTH - _NUMBER_WIDTH
    rows = []
    for index, count in enumerate(counts):
        y = index * _ROW
        length = max(round(room * count.number / most), 2 if count.number else 0)
        colour = classes[index] if index < len(classes) else "series-1"
        rows.append(
            f'<text x="{_LABEL_WIDTH - 10}" y="{y + 13}" class="label end">{escape(_shorten(count.label))}</text>'
            f'<rect x="{_LABEL_WIDTH}" y="{y + 1}" width="{length}" height="{_BAR}" rx="3" class="{colour}"/>'
            f'<text x="{_LABEL_WIDTH + length + 8}" y="{y + 13}" class="number">{count.number:,}</text>'
        )
    return _drawing("".join(rows), len(counts) * _ROW, title)


def columns(months: Sequence[str], series: Sequence[tuple[str, str, Sequence[int]]], title: str) -> str:
    """Columns side by side for each month (``2030-01``). ``series`` holds (name, class, numbers)."""
    most = max((number for _, _, numbers in series for number in numbers), default=0) or 1
    step = WIDTH / max(len(months), 1)
    width = min(step * 0.8 / max(len(series), 1), 34)
    marks = [f'<line x1="0" y1="{_COLUMN_HEIGHT + 14}" x2="{WIDTH}" y2="{_COLUMN_HEIGHT + 14}" class="axis"/>']
    for position, (year, month) in enumerate(month.split("-") for month in months):
        middle = step * (position + 0.5)
        marks.append(f'<text x="{middle:.1f}" y="{_COLUMN_HEIGHT + 30}" class="label middle">{month}</text>')
        if position == 0 or month == "01":
            marks.append(f'<text x="{middle:.1f}" y="{_COLUMN_HEIGHT + 45}" class="label middle">{year}</text>')
        for index, (_, colour, numbers) in enumerate(series):
            x = middle + (index - len(series) / 2) * width
            marks.append(_column(x, width, numbers[position], most, colour))
    if not any(number for _, _, numbers in series for number in numbers):
        marks.append(f'<text x="{WIDTH / 2}" y="{_COLUMN_HEIGHT / 2}" class="label middle">none in these months</text>')
    return _drawing("".join(marks), _COLUMN_HEIGHT + 14 + _AXIS, title) + _legend(series)


def _column(x: float, width: float, number: int, most: int, colour: str) -> str:
    if not number:
        return ""
    height = max((_COLUMN_HEIGHT - 4) * number / most, 2)
    top = _COLUMN_HEIGHT + 14 - height
    return (
        f'<rect x="{x + 1:.1f}" y="{top:.1f}" width="{width - 2:.1f}" height="{height:.1f}" rx="2" class="{colour}"/>'
        f'<text x="{x + width / 2:.1f}" y="{top - 4:.1f}" class="number small middle">{_compact(number)}</text>'
    )


def timeline(spans: Sequence[CrlSpan], now: datetime, title: str) -> str:
    """One line for each CRL from thisUpdate to nextUpdate, with the present as an upright line."""
    begin = min([now, *(span.this_update for span in spans)])
    end = max([now, *(span.next_update for span in spans)])
    whole = max((end - begin).total_seconds(), 1)
    room = WIDE - _LABEL_WIDTH - _STANDING_WIDTH

    def place(moment: datetime) -> float:
        return _LABEL_WIDTH + room * (moment - begin).total_seconds() / whole

    rows = []
    for index, span in enumerate(spans):
        y, x = index * _ROW, place(span.this_update)
        name = f"{'old CA' if span.is_old else 'CRL'} {span.number}"
        rows.append(
            f'<text x="{_LABEL_WIDTH - 10}" y="{y + 13}" class="label end">{name} '
            f"({span.revoked:,} revoked)</text>"
            f'<rect x="{x:.1f}" y="{y + 1}" width="{max(place(span.next_update) - x, 2):.1f}" height="{_BAR}" rx="3"'
            f' class="{_STANDINGS[span.standing]}"/>'
            f'<text x="{place(span.next_update) + 6:.1f}" y="{y + 13}" class="number">'
            f"{span.next_update:%Y-%m-%d}, {span.standing}</text>"
        )
    height = max(len(spans), 1) * _ROW
    rows.append(f'<line x1="{place(now):.1f}" y1="0" x2="{place(now):.1f}" y2="{height}" class="now"/>')
    rows.append(f'<text x="{place(now):.1f}" y="{height + 12}" class="label middle">today</text>')
    return _drawing("".join(rows), height + 16, title, WIDE)


def _drawing(content: str, height: float, title: str, width: int = WIDTH) -> str:
    return (
        f'<svg viewBox="0 0 {width} {max(height, 1):.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{content}</svg>"
    )


def _legend(series: Sequence[tuple[str, str, Sequence[int]]]) -> str:
    if len(series) == 1:
        return ""
    items = "".join(f'<li><span class="swatch {colour}"></span>{escape(name)}</li>' for name, colour, _ in series)
    return f'<ul class="legend">{items}</ul>'


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"


def _compact(number: int) -> str:
    """A number that fits over a column: ``12.3k`` from ten thousand on."""
    if number >= 1_000_000:
        return f"{number / 1_000_000:.1f}M"
    return f"{number / 1000:.1f}k" if number >= 10_000 else str(number)
