"""How far long work is, on stderr: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, TypeVar

from iotonboard.cli import output

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from iotonboard.cli.session import Session

_BAR_AFTER_S = 1.0  # what ends sooner shows nothing
_BAR_EVERY_S = 0.2
_LINE_EVERY_S = 5.0
_BAR_CELLS = 20

Answer = TypeVar("Answer")


def watched(session: Session, answers: Iterable[Answer], total: int | None = None) -> Iterator[Answer]:
    """Hand answers on, one for each device, and show how many there were, how fast, and how long the rest takes.

    ``total`` is how many there will be, when that is known. ``--quiet`` shows nothing.
    """
    if session.quiet:
        return iter(answers)
    return _with_bar(answers, total) if output.shows_bars() else _with_lines(answers, total)


def describe(done: int, total: int | None, seconds: float) -> str:
    """``1200 of 5000 devices, 400 a second, 10 s left``; the time only while there is a rest."""
    rate = done / max(seconds, 0.001)
    facts = [f"{done} of {total} devices" if total else f"{done} devices", f"{rate:.0f} a second"]
    if total and done < total:
        facts.append(f"{_duration((total - done) / rate)} left")
    return ", ".join(facts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _with_lines(answers: Iterable[Answer], total: int | None) -> Iterator[Answer]:
    begin = told = time.monotonic()
    for done, answer in enumerate(answers, start=1):
        yield answer
        if (now := time.monotonic()) - told >= _LINE_EVERY_S:
            output.write_message(f"iotonboard: {describe(done, total, now - begin)}")
            told = now


def _with_bar(answers: Iterable[Answer], total: int | None) -> Iterator[Answer]:
    """The bar is wiped before an answer is printed, and drawn again below it."""
    begin, drawn, width = time.monotonic(), 0.0, 0
    try:
        for done, answer in enumerate(answers, start=1):
            if sys.stdout.isatty():
                width = _wipe(width)
            yield answer
            now = time.monotonic()
            if now - begin >= _BAR_AFTER_S and (width == 0 or now - drawn >= _BAR_EVERY_S):
                width, drawn = _draw(_bar(done, total, now - begin), width), now
    finally:
        _wipe(width)


def _bar(done: int, total: int | None, seconds: float) -> str:
    facts = describe(done, total, seconds)
    if not total:
        return facts
    full = min(_BAR_CELLS * done // total, _BAR_CELLS)
    return f"[{'#' * full}{'.' * (_BAR_CELLS - full)}] {facts}"


def _draw(text: str, before: int) -> int:
    text = text[: os.get_terminal_size(sys.stderr.fileno()).columns - 1]
    sys.stderr.write("\r" + text.ljust(before))
    sys.stderr.flush()
    return len(text)


def _wipe(width: int) -> int:
    if width:
        sys.stderr.write("\r" + " " * width + "\r")
        sys.stderr.flush()
    return 0
