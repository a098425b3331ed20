"""The officer's run-book in the guide is typed as it stands, beside a real broker, and prints what stands there.

``pytest tests/cli/test_runbook.py --rewrite`` writes what was printed into the guide.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.clock import fake_time
from support.program import PROJECT, State, program_environment
from support.run_book import typed

PAGE = PROJECT / "iotonboard" / "guide" / "officer.md"
CHANGING = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|(?<=process )\d+|(?<=package )\d+|\d+(?= days left)")
UNSEEN = "has reloaded and lives; its log says whether it took the files"  # where a disk does not record who read
LATER = "## An expired CRL"  # from here on it is later
AHEAD = "+60d"


def run_book() -> str:
    text = PAGE.read_text(encoding="utf-8")
    begin = text.index("## Every week")
    return text[begin : text.index("## Keeping the state safe", begin)]


@pytest.fixture
def dest() -> Iterator[Path]:
    """A folder that every user may enter, the broker's included."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        dest = Path(folder, "dest")
        dest.mkdir(mode=0o755)
        yield dest


def test_the_run_book_prints_what_it_says(
    state: State, start_broker, tmp_path: Path, dest: Path, request: pytest.FixtureRequest
) -> None:
    places = _prepare(state, tmp_path, dest)
    broker = start_broker(state, clock=True)
    (tmp_path / "mosquitto.pid").write_text(f"{broker._process.pid}\n")
    state.run("config", "set", "broker.reload", f"pid:{tmp_path / 'mosquitto.pid'}")
    soon, _, later = run_book().partition(LATER)
    soon = _typed(soon, places, state, {})
    broker.set_clock(AHEAD)
    clock = {**fake_time(AHEAD), "NO_FAKE_STAT": "1"}
    book = soon + LATER + _typed(later, places, state, clock)
    if request.config.getoption("--rewrite"):
        PAGE.write_text(PAGE.read_text(encoding="utf-8").replace(run_book(), book), encoding="utf-8")
    assert CHANGING.sub("*", book) == CHANGING.sub("*", run_book()), "run this test with --rewrite"


def _prepare(state: State, tmp_path: Path, dest: Path) -> dict[str, str]:
    """Devices, and a broker's machine that got its files long ago; returns the page's places and ours."""
    state.run("register", "press-17", "press-18", "--no-bundle")
    (tmp_path / "usb").mkdir()
    state.run("pack", "--out", tmp_path / "first")
    state.run("apply", tmp_path / "first", "--ca", state.ca_cert, "--dest", dest)
    return {
        "/etc/mosquitto/iotonboard": str(dest),
        "/media/usb": str(tmp_path / "usb"),
        " ca.crt": f" {state.ca_cert}",
        "iotonboard-state": str(state.path),
    }


def _typed(text: str, places: dict[str, str], state: State, clock: dict[str, str]) -> str:
    """Run the blocks; on a disk that does not record who read, the broker's own word stands for it."""
    book = typed(text, lambda: places, lambda: program_environment(state=state, env=clock))
    return book.replace(UNSEEN, "has read its files")
