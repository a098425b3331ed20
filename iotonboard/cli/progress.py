"""How far long work is, on stderr: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, TypeVar

from iotonboard.cli import output

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from iotonboard.cli.session import Session

_BAR_AFTER_S = 1.0  # what ends sooner shows nothing, and loads nothing that draws
_BAR_EVERY_S = 0.2
_LINE_EVERY_S = 5.0
_BAR_CELLS = 20

Answer = TypeVar("Answer")


def watched(session: Session, answers: Iterable[Answer], total: int | None = None) -> Generator[Answer]:
    """Hand answers on, one for each device, and show how many there were, how fast, and how long the rest takes.

    ``total`` is how many there will be, when that is known. ``--quiet`` shows nothing.
    """
    if session.quiet:
        yield from answers
    else:
        yield from _with_bar(answers, total) if output.shows_bars() else _with_lines(answers, total)


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
    """The bar is drawn while the next answer is waited for, and wiped before that is printed."""
    begin, bar = time.monotonic(), None
    try:
        for done, answer in enumerate(answers, start=1):
            with bar.wiped() if bar else nullcontext():
                yield answer
            seconds = time.monotonic() - begin
            if bar is None and seconds >= _BAR_AFTER_S:
                bar = _Bar(total)
            if bar is not None:
                bar.update(done, describe(done, total, seconds))
    finally:
        if bar is not None:
            bar.close()


class _Bar:
    """One line that a thread draws; processes are forked before the first answer, so that none inherits its locks."""

    def __init__(self, total: int | None) -> None:
        from rich.console import Console
        from rich.control import Control
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.segment import ControlType

        columns = [BarColumn(_BAR_CELLS), TextColumn("{task.description}", markup=False)]
        self._progress = Progress(
            *columns if total else columns[1:],
            console=Console(stderr=True, highlight=False),
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,  # what is printed meanwhile stays in its own words and lines
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("", total=total)
        self._wipe = Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2))
        self._terminal = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw, daemon=True)
        self._progress.start()
        self._thread.start()

    def _draw(self) -> None:
        while not self._ended.wait(_BAR_EVERY_S):
            with self._terminal:
                self._progress.refresh()

    def update(self, done: int, text: str) -> None:
        """Say how far the work is; drawn a moment later."""
        self._progress.update(self._task, completed=done, description=text)

    @contextmanager
    def wiped(self) -> Iterator[None]:
        """For the block the line is empty."""
        with self._terminal:
            self._progress.console.control(self._wipe)
            yield

    def close(self) -> None:
        """Wipe the bar for good."""
        self._ended.set()
        self._thread.join()
        self._progress.stop()
