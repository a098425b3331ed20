"""Tables as CSV (RFC 4180), for programs or as Excel takes it with a double click."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING

from iotonboard.cli import output
from iotonboard.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LONGEST_FORMULA_TEXT = 255  # characters that Excel takes in quotes


def check_form(*, in_json: bool, as_csv: bool, for_excel: bool) -> bool:
    """Whether CSV is asked for; ``--excel`` alone says so too.

    Raises:
        UsageError: JSON is asked for too.
    """
    if (as_csv or for_excel) and in_json:
        option = "--csv" if as_csv else "--excel"
        raise UsageError(f"{option} and --json exclude each other", hint="choose one of them")
    return as_csv or for_excel


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[str]], *, for_excel: bool) -> None:
    """Print a table whose cells no spreadsheet takes for formulas.

    ``for_excel``: UTF-8 with a byte order mark, semicolons and CRLF, and each value that begins with a digit as a text,
    because Excel makes numbers and dates of ids, serials and times.
    """
    if not for_excel:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([output.cell(value) for value in row] for row in rows)
        return
    lines = csv.writer(_Octets(), delimiter=";", lineterminator="\r\n")
    _Octets.write("\ufeff")
    lines.writerow(columns)
    lines.writerows([_text_cell(output.cell(value)) for value in row] for row in rows)
    sys.stdout.buffer.flush()


class _Octets:
    """Stdout in UTF-8, with the line ends that were written, whatever the machine's own are."""

    @staticmethod
    def write(text: str) -> None:
        sys.stdout.buffer.write(text.encode("utf-8"))


def _text_cell(value: str) -> str:
    """A formula that is nothing but a text."""
    if not value[:1].isdigit() or '"' in value or len(value) > _LONGEST_FORMULA_TEXT:
        return value
    return f'="{value}"'
