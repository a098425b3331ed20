"""What the program prints: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import shlex
import sys
import warnings
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from iotonboard.errors import NotPrivateWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import IO, TextIO

    from iotonboard.errors import IotOnboardError, Unpublished, UnpublishedError

SCHEMA = 1
_TOLD = 20  # of what is not published, in words
_chosen = {"plain": False}
_written = {"answers": 0}  # results on stdout, as JSON


def use_plain() -> None:
    """Print plain, tab-separated lines on a terminal too."""
    _chosen["plain"] = True


def is_for_people() -> bool:
    """Say whether stdout is a terminal on which a person reads."""
    return sys.stdout.isatty() and not _chosen["plain"]


def shows_bars() -> bool:
    """Say whether stderr is a terminal on which a line may be drawn again and again."""
    return sys.stderr.isatty() and not _chosen["plain"]


def write_json(command: str, values: Mapping[str, object]) -> None:
    """Print one versioned object on a line of its own, at once."""
    _written["answers"] += 1
    text = json.dumps({"schema": SCHEMA, "command": command, **values}, ensure_ascii=True)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def has_answered() -> bool:
    """Say whether a result was printed as JSON."""
    return _written["answers"] > 0


def write_line(text: str) -> None:
    """Print one line of a result."""
    text = printable(text)
    if is_for_people():
        from iotonboard.cli.layout import field_lines

        text = "\n".join(field_lines(text))
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def write_card(title: str, facts: Iterable[tuple[str, str]]) -> None:
    """Print one thing with its facts for people; what has no value is left out."""
    from iotonboard.cli.layout import card_lines

    for line in card_lines(printable(title), [(label, printable(value)) for label, value in facts if value]):
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def write_message(text: str) -> None:
    """Print a message for people on stderr; one that cannot be written changes no exit code."""
    text = printable(text)
    if shows_bars():
        from iotonboard.cli.layout import message_lines

        text = "\n".join(message_lines(text))
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:  # a log on a disk that is full, a reader that went away
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Send what a stream still holds nowhere: nobody reads it any more, or it cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def write_error(message: str, hint: str = "") -> None:
    """Print an error and what to do next on stderr."""
    write_message(f"iotonboard: error: {message}")
    if hint:
        write_message(f"iotonboard: hint: {hint}")


def write_unpublished(error: UnpublishedError) -> None:
    """Print what is not signed or not published, each with what to do, and what finishes it."""
    write_error(error.message)
    for one in error.unpublished[:_TOLD]:
        write_message(f"iotonboard: not done: {one.what}: {one.error.message}")
        if one.error.hint and one.error.hint not in error.hint:
            write_message(f"iotonboard: hint: {one.error.hint}")
    if left := len(error.unpublished[_TOLD:]):
        write_message(f"iotonboard: not done: {left} more; --json names all of them")
    write_message(f"iotonboard: hint: {error.hint}")


def unpublished_values(unpublished: Iterable[Unpublished]) -> list[dict[str, str]]:
    """What is not signed or not published, as it appears in JSON."""
    return [
        {"what": one.what, "path": one.path, "error": one.error.message, "hint": one.error.hint} for one in unpublished
    ]


def error_values(error: IotOnboardError) -> dict[str, object]:
    """An error as it appears in JSON."""
    return {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}


def printable(text: str) -> str:
    """Replace what would steer a terminal; line feeds and tabs stay."""
    if text.replace("\t", "").isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else repr(char)[1:-1] for char in text)


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str, is_long: bool = False) -> None:
    """Draw a table on a terminal, which says with ``empty`` that it has no row; tab-separated lines elsewhere.

    One that ``is_long`` goes through the pager there.
    """
    if not is_for_people():
        for row in rows:
            write_line("\t".join(row))
        return
    from iotonboard.cli.layout import table_lines

    with _pager() if is_long else nullcontext(sys.stdout) as stream:
        for line in table_lines(columns, (list(map(printable, row)) for row in rows), empty=empty):
            stream.write(line + "\n")
        stream.flush()


@contextmanager
def _pager() -> Iterator[IO[str]]:
    """What shows a long text page by page as it comes; the terminal itself where there is no pager.

    Whoever leaves it before the end has seen enough.
    """
    import subprocess

    try:
        words = shlex.split(os.environ.get("PAGER") or "less")
        environment = {"LESS": "FRX", **os.environ}  # colours, and no pager for what fits
        pager = subprocess.Popen(words, stdin=subprocess.PIPE, text=True, errors="replace", env=environment)  # noqa: S603
    except (OSError, ValueError, IndexError):
        yield sys.stdout
        return
    with suppress(BrokenPipeError), pager:
        yield pager.stdin or sys.stdout


def counted(number: int, what: str) -> str:
    """``1 device``, ``2 devices``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def cell(value: str) -> str:
    """A CSV value that no spreadsheet takes for a formula, and that steers no terminal."""
    value = printable(value)
    return "'" + value if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


@contextmanager
def open_disks_told(tell: Callable[[str], object]) -> Iterator[None]:
    """For the block, say once of each disk, and of each key, that it is not kept from others."""
    said: set[str] = set()

    def show(warning: Warning | str, *_where: object) -> None:
        if str(warning) not in said:
            said.add(str(warning))
            tell(f"warning: {warning}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", NotPrivateWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield
