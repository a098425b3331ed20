"""What the program prints: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from iotonboard.errors import IotOnboardError

SCHEMA = 1


def write_json(command: str, values: Mapping[str, object]) -> None:
    """Print one versioned object on a line of its own, at once."""
    text = json.dumps({"schema": SCHEMA, "command": command, **values}, ensure_ascii=True)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def write_line(text: str) -> None:
    """Print one line of a result."""
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()


def write_message(text: str) -> None:
    """Print a message for people on stderr."""
    sys.stderr.write(printable(text) + "\n")
    sys.stderr.flush()


def write_error(message: str, hint: str = "") -> None:
    """Print an error and what to do next on stderr."""
    write_message(f"iotonboard: error: {message}")
    if hint:
        write_message(f"iotonboard: hint: {hint}")


def error_values(error: IotOnboardError) -> dict[str, object]:
    """An error as it appears in JSON."""
    return {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}


def printable(text: str) -> str:
    """Replace what would steer a terminal; line feeds and tabs stay."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else repr(char)[1:-1] for char in text)


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Draw a table on a terminal, tab-separated lines elsewhere."""
    if not sys.stdout.isatty():
        for row in rows:
            write_line("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*[Text(printable(value)) for value in row])
    Console().print(table)


def cell(value: str) -> str:
    """A CSV value that no spreadsheet takes for a formula."""
    return "'" + value if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
