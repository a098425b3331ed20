"""Long work shows how far it is: a bar on a terminal, which leaves nothing behind, and lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from iotonboard.cli import progress
from iotonboard.cli.session import Session
from iotonboard.enrolment import device_list

from support.program import State

pty = pytest.importorskip("pty")
pyte = pytest.importorskip("pyte")


def session(*, quiet: bool = False) -> Session:
    return Session("register", ".", json=False, quiet=quiet, verbose=False, passphrase_file=None, environment={})


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_BAR_AFTER_S", "_BAR_EVERY_S", "_LINE_EVERY_S"):
        monkeypatch.setattr(progress, name, 0)


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], bytes]:
    """Make stderr a terminal; answers what was written to it."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    writer = os.fdopen(theirs, "w")
    monkeypatch.setattr(sys, "stderr", writer)

    def everything() -> bytes:
        writer.close()
        raw = b""
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while piece := os.read(ours, 1 << 16):
                raw += piece
        return raw

    return everything


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
def test_a_bar_on_a_terminal_that_is_wiped_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    assert list(progress.watched(session(), iter("abcd"), 4)) == ["a", "b", "c", "d"]
    raw = terminal()
    assert b"[##########..........] 2 of 4 devices" in raw
    assert b"[####################] 4 of 4 devices" in raw
    screen = pyte.Screen(60, 24)
    pyte.ByteStream(screen).feed(raw)
    assert not "".join(screen.display).strip()


@pytest.mark.usefixtures("impatient")
def test_a_bar_is_wiped_when_the_work_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)

    def work() -> object:
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(progress.watched(session(), work(), None))
    assert terminal().endswith(b" \r")


def test_short_work_shows_nothing(state: State, tmp_path: Path) -> None:
    devices = tmp_path / "devices.csv"
    devices.write_text("device_id\na\nb\n")
    assert device_list.count_rows(str(devices)) == 2
    assert device_list.count_rows("-") is None
    assert "a second" not in state.run("register", "--batch", devices, "--no-bundle").stderr
