"""How a row of a CSV is spelled: for programs (RFC 4180), or as Excel takes it with a double click."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_FORMULA_TEXT = 255  # characters that Excel takes in quotes
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_TEXT_CELL = re.compile(r'="([^"]*)"')


@dataclass(frozen=True, slots=True)
class CsvForm:
    """One way to spell a row. ``mark`` is what the first one begins with."""

    mark: str
    delimiter: str
    line_end: str

    def head(self, columns: Iterable[str]) -> bytes:
        """The first line, UTF-8."""
        return (self.mark + self.row(columns)).encode("ascii" if not self.mark else "utf-8")

    def row(self, values: Iterable[object]) -> str:
        """A line with its end; in the form for Excel no value is a formula, a number or a date."""
        texts = map(str, values)
        line = io.StringIO()
        cells = texts if self is PLAIN else map(_text_cell, texts)
        csv.writer(line, delimiter=self.delimiter, lineterminator=self.line_end).writerow(cells)
        return line.getvalue()

    def values(self, line: str) -> list[str]:
        """The values of a line.

        Raises:
            csv.Error: it is none.
        """
        cells = next(csv.reader([line.removeprefix(self.mark)], delimiter=self.delimiter), [])
        return cells if self is PLAIN else [_TEXT_CELL.sub(r"\1", cell) for cell in cells]


# UTF-8 with a byte order mark, and values that begin with a digit as texts: Excel makes numbers and dates of ids,
# serials and times.
PLAIN = CsvForm("", ",", "\n")
EXCEL = CsvForm("\ufeff", ";", "\r\n")


def _text_cell(value: str) -> str:
    if value.startswith(_FORMULA):
        return "'" + value
    if not value[:1].isdigit() or '"' in value or len(value) > _LONGEST_FORMULA_TEXT:
        return value
    return f'="{value}"'  # a formula that is nothing but a text
