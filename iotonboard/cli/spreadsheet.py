"""Tables as CSV (RFC 4180), for programs or as Excel takes it with a double click."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING

from iotonboard.cli import output
from iotonboard.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


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

    ``for_excel``: as ``disk.csv_form`` has it.
    """
    if not for_excel:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([output.cell(value) for value in row] for row in rows)
        return
    from iotonboard.disk.csv_form import EXCEL

    sys.stdout.buffer.write(EXCEL.head(columns))  # with the line ends of the form, whatever the machine's own are
    for row in rows:
        sys.stdout.buffer.write(EXCEL.row(map(output.printable, row)).encode("utf-8"))
    sys.stdout.buffer.flush()
