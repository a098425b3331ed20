"""Long work shows how far it is: a bar on a terminal, which leaves nothing behind, and lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from iotonboard.cli import progress
from iotonboard.cli.session import Session
from iotonboard.enrolment import device_list

from support.broker import wait_for
from support.program import State
from support.tools import need_module

pty = pytest.importorskip("pty")
pyte = need_module("pyte")


def session(*, quiet: bool = False) -> Session:
    return Session(
        "register", ".", json=False, quiet=quiet, verbose=False, passphrase_file=None, share_file=None, environment={}
    )


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("_BAR_AFTER_S", 0), ("_BAR_EVERY_S", 0.01), ("_LINE_EVERY_S", 0)):
        monkeypatch.setattr(progress, name, seconds)


class Terminal:
    """What stderr is, and what was written to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, columns: int = 60) -> None:
        import fcntl
        import struct
        import termios

        self._ours, theirs = pty.openpty()
        os.set_blocking(self._ours, False)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.writer = os.fdopen(theirs, "w", encoding="utf-8")
        monkeypatch.setattr(sys, "stderr", self.writer)
        for name, value in (("TERM", "xterm"), ("NO_COLOR", "1"), ("COLUMNS", str(columns)), ("LINES", "24")):
            monkeypatch.setenv(name, value)
        self._screen = pyte.Screen(columns, 24)
        self._stream = pyte.ByteStream(self._screen)

    def lines(self) -> list[str]:
        """The screen as a person sees it now, without empty lines."""
        self.writer.flush()
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self._ours, 1 << 16):
                self._stream.feed(piece)
        return [line.rstrip() for line in self._screen.display if line.strip()]


def test_durations_rates_and_what_is_left() -> None:
    assert progress.describe(1200, 5000, 3.0) == "1200 of 5000 devices, 400 a second, 10 s left"
    assert progress.describe(10, 5000, 10.0) == "10 of 5000 devices, 1 a second, 1 h 23 min left"
    assert progress.describe(100, 250, 1.0) == "100 of 250 devices, 100 a second, 2 s left"
    assert progress.describe(1, 151, 1.0) == "1 of 151 devices, 1 a second, 2 min 30 s left"
    assert progress.describe(5000, 5000, 2.5) == "5000 of 5000 devices, 2000 a second"
    assert progress.describe(7, None, 0.0) == "7 devices, 7000 a second"


@pytest.mark.usefixtures("impatient")
def test_lines_on_stderr_when_it_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.watched(session(), iter("abc"), 3)) == ["a", "b", "c"]
    out, err = capsys.readouterr()
    assert not out
    lines = err.splitlines()
    assert [line.partition(",")[0] for line in lines] == [f"iotonboard: {done} of 3 devices" for done in (1, 2, 3)]
    assert list(progress.watched(session(quiet=True), iter("abc"), 3)) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("impatient")
def test_a_bar_on_a_terminal_that_is_wiped_for_answers_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch)

    def work() -> Iterator[str]:
        for name in "abcd":
            if name > "a":
                wait_for(lambda: terminal.lines()[-1:] != [] and "devices" in terminal.lines()[-1], "the bar")
                bar, _, facts = terminal.lines()[-1].partition(" ")
                assert facts.strip().startswith(f"{ord(name) - ord('a')} of 4 devices, ")
                assert len(bar) == 5 * (ord(name) - ord("a"))
            yield name

    for number, answer in enumerate(progress.watched(session(), work(), 4)):
        assert terminal.lines() == [f"{name} and what belongs to it" for name in "abcd"[:number]]
        terminal.writer.write(f"{answer} and what belongs to it\r\n")
    assert terminal.lines() == [f"{name} and what belongs to it" for name in "abcd"]


@pytest.mark.usefixtures("impatient")
def test_a_bar_is_one_line_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch, 30)

    def work() -> Iterator[int]:
        yield 1
        wait_for(lambda: len(terminal.lines()) == 1, "the bar")
        yield 2

    assert list(progress.watched(session(), work(), 1_000_000)) == [1, 2]
    assert terminal.lines() == []


@pytest.mark.usefixtures("impatient")
def test_a_bar_is_wiped_when_the_work_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch)

    def work() -> Iterator[int]:
        yield 1
        wait_for(lambda: terminal.lines() != [], "the bar")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(progress.watched(session(), work(), None))
    assert terminal.lines() == []


def test_short_work_shows_nothing(state: State, tmp_path: Path) -> None:
    devices = tmp_path / "devices.csv"
    devices.write_text("device_id\na\nb\n")
    assert device_list.count_rows(str(devices)) == 2
    assert device_list.count_rows("-") is None
    assert "a second" not in state.run("register", "--batch", devices, "--no-bundle").stderr
