"""Rows of a CSV, which nothing that stands in one row can confuse in the next.

A quoted value may go on in the next line. One that is never closed, or is longer than a value may be, spoils its own
row and no other: what lies inside it is never read as rows. The standard library's reader goes on in the middle of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from iotonboard.enrolment.list_lines import Line

MAX_VALUE_LETTERS = 1 << 17
_STRAY = "holds {} that ends no line"
_QUOTE = re.compile(r'[ \xa0]*"')
# Blanks and the invisible marks that come along when a text is copied: they belong to no value's ends.
_ENDS = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028"
    "\u2029\u202f\u205f\u3000\ufeff\u200b\u200c\u200d\u200e\u200f\u2060\u2066\u2067\u2068\u2069\u202a\u202b\u202c\xad"
)
_BLANKS = str.maketrans(dict.fromkeys("\xa0\u2007\u202f", " "))


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its values as they stand there, the line on which it ends, and its first line to show.

    ``problem`` says why it cannot be read; its line is then the one on which it begins. ``is_open``: its last line has
    no end.
    """

    line: int
    values: list[str]
    text: str
    problem: str = ""
    is_open: bool = False


def clean(value: str) -> str:
    """A value without the blanks and invisible marks around it; blanks that break no line are blanks.

    ``="0012"`` is how a value is kept a text in spreadsheets: ``0012``.
    """
    value = value.strip() if value.isascii() else value.translate(_BLANKS).strip(_ENDS)
    if value.startswith('="') and value.endswith('"') and value.count('"') == 2:
        return clean(value[2:-1])
    return value


def split_rows(
    lines: Iterator[Line], delimiter: str, begins_row: Callable[[str], bool] = lambda _: False
) -> Iterator[Row]:
    """The rows of a CSV that say something.

    ``begins_row`` judges a line inside a quoted value: a line that looks like a row of its own spoils the row.
    """
    for line in lines:
        if '"' not in line.text and len(line.text) <= MAX_VALUE_LETTERS:
            problem = line.problem or (_STRAY.format(line.stray) if line.stray else "")
            row = Row(line.number, line.text.split(delimiter), line.text, problem, line.is_open)
        else:
            row = _quoted_row(line, lines, delimiter, begins_row)
        if row.problem or any(clean(value) for value in row.values):
            yield row
        if line.is_last:
            return


def _quoted_row(first: Line, lines: Iterator[Line], delimiter: str, begins_row: Callable[[str], bool]) -> Row:
    cells, line, problem = Cells(delimiter), first, first.problem
    while not cells.take(line.text):
        following = next(lines, None)
        if following is None or line.is_last:
            problem = f"a quote is never closed: nothing up to line {line.number}, the last, was read"
            break
        line = following
        problem = problem or (f"{line.problem} in line {line.number}" if line.problem else "")
        if not problem and begins_row(line.text):
            problem = f"a quote is missing: line {line.number} looks like a row of its own"
    problem = problem or cells.problem
    if problem and line is not first and not problem.startswith("a quote is never"):
        problem = f"{problem} (it goes on to line {line.number}, which was not read)"
    return Row(first.number if problem else line.number, cells.values, first.text, problem, line.is_open)


class Cells:
    """The values of one row, which takes lines until no quote is open."""

    def __init__(self, delimiter: str) -> None:
        self.values: list[str] = []
        self.problem = ""
        self._delimiter = delimiter
        self._parts: list[str] = []  # of the value whose quote is open
        self._letters = 0
        self._is_open = False

    def take(self, text: str) -> bool:
        """Take a line without its end; says whether the row ends with it."""
        position = 0
        if self._is_open:
            self._add("\n")
        while True:
            if not self._is_open:
                quote = _QUOTE.match(text, position)
                if not quote:
                    end = text.find(self._delimiter, position)
                    self._close_plain(text[position:] if end < 0 else text[position:end])
                    if end < 0:
                        return True
                    position = end + 1
                    continue
                self._is_open, position = True, quote.end()
            end = text.find('"', position)
            if end < 0:
                self._add(text[position:])
                return False
            self._add(text[position:end])
            position = end + 1
            if text.startswith('"', position):
                self._add('"')
                position += 1
                continue
            end = text.find(self._delimiter, position)
            if clean(text[position:] if end < 0 else text[position:end]):
                self.problem = self.problem or "something stands behind a closing quote"
            self._close("".join(self._parts))
            if end < 0:
                return True
            position = end + 1

    def _add(self, part: str) -> None:
        self._letters += len(part)
        if self._letters > MAX_VALUE_LETTERS:
            self._parts.clear()
            self.problem = self.problem or f"a value is longer than {MAX_VALUE_LETTERS >> 10} KiB"
        else:
            self._parts.append(part)

    def _close_plain(self, value: str) -> None:
        if "\r" in value or "\n" in value:
            self.problem = self.problem or _STRAY.format("a CR" if "\r" in value else "an LF")
        self._close(value)

    def _close(self, value: str) -> None:
        if len(value) > MAX_VALUE_LETTERS:
            value, self.problem = "", self.problem or f"a value is longer than {MAX_VALUE_LETTERS >> 10} KiB"
        self.values.append(value)
        self._parts.clear()
        self._letters, self._is_open = 0, False
