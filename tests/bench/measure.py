"""Whole processes, measured in pairs: time, processor time and memory, and a state to run them on."""

from __future__ import annotations

import compileall
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parents[2]
PROGRAM: list[str] = []  # filled with what install() makes
_SCRIPT = """#!{python}
import sys
from iotonboard.cli import main
sys.exit(main())
"""


def install(folder: Path, *, compiled: bool = True) -> list[str]:
    """The package as pip installs it, away from its sources: with bytecode and a script that starts it."""
    shutil.copytree(PROJECT / "iotonboard", folder / "iotonboard", ignore=shutil.ignore_patterns("__pycache__"))
    if compiled:
        compileall.compile_dir(folder / "iotonboard", quiet=1)
    script = folder / "iotonboard-script"
    script.write_text(_SCRIPT.format(python=sys.executable))
    script.chmod(0o755)
    return [str(script)]


class Spent(NamedTuple):
    """What one process took: elapsed time, processor time of it and its children, and its largest memory."""

    wall_ms: float
    cpu_ms: float = 0.0  # not known
    peak_mb: float = 0.0


Run = Callable[[], Spent]


class Line(NamedTuple):
    """One row of the table; ``None`` stands for a figure that there is not."""

    what: str
    peer: str
    required: str
    ours: str
    theirs: str = "-"
    ratio: float | None = None
    note: str = ""

    def __str__(self) -> str:
        ratio = f"{self.ratio:.2f}" if self.ratio is not None else "-"
        cells = (self.what, self.peer, self.theirs, self.ours, ratio, self.required, self.note)
        return f"| {' | '.join(cells)} |"


@dataclass(frozen=True)
class Case:
    """A line that can be measured: how it is named on the command line, and what measures it in so many runs.

    What it needs is prepared when it is measured, so that a run of some lines prepares nothing for the others.
    """

    name: str
    measure: Callable[[int], Line]


def skipped(name: str, what: str, peer: str, reason: str) -> Case:
    """A line that says why there is no figure."""
    return Case(name, lambda _runs: Line(what, peer, "-", "-", note=f"skipped: {reason}"))


def environment(**more: str) -> dict[str, str]:
    """The caller's environment without what changes Python's ways."""
    return {**{key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}, **more}


def process(*argv: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> Spent:
    """Run one process to its end; ends the benchmark when it fails."""
    with tempfile.TemporaryFile() as output:
        begin = time.perf_counter()
        child = subprocess.Popen(
            [str(word) for word in argv], env=environment(**(env or {})), cwd=cwd, stdin=subprocess.DEVNULL,
            stdout=output, stderr=output,
        )  # fmt: skip
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            output.seek(0)
            sys.exit(f"exit {child.returncode}: {argv}\n{output.read()[-4000:].decode(errors='replace')}")
    return Spent(wall * 1000, (used.ru_utime + used.ru_stime) * 1000, used.ru_maxrss / 1024)


def named(number: int) -> str:
    """A number with a blank between thousands."""
    return f"{number:,}".replace(",", " ")


def milliseconds(value: float) -> str:
    """A duration for the table."""
    return f"{value:.1f} ms" if value < 10_000 else f"{value / 1000:.1f} s"


def pair(
    name: str, what: str, peer: str, required: str, ours: Run, theirs: Run, *, note: str = "", most_runs: int = 1000
) -> Case:
    """A line of two sides that run in turn; the first pair prepares what is needed, fills caches and does not count."""

    def measure(runs: int) -> Line:
        ours(), theirs()
        pairs = [(ours(), theirs()) for _ in range(min(runs, most_runs))]
        a, b = (statistics.median(spent.wall_ms for spent in side) for side in zip(*pairs, strict=True))
        told = [note] if note else []
        if peak := max(x.peak_mb for x, _ in pairs):
            cpu = statistics.median(x.cpu_ms / max(y.cpu_ms, 1) for x, y in pairs)
            told.insert(0, f"CPU {cpu:.2f}, {peak:.0f} MB")
        ratio = statistics.median(x.wall_ms / y.wall_ms for x, y in pairs)
        return Line(what, peer, required, milliseconds(a), milliseconds(b), ratio, "; ".join(told))

    return Case(name, measure)


class State:
    """A real state directory with a key file."""

    def __init__(self, folder: Path) -> None:
        self.path, self.key_file, self.folder = folder / "state", folder / "key", folder
        if not folder.exists():
            folder.mkdir(parents=True)
            self.call("init-ca", "--generate-key-file", self.key_file, unlocked=False)
            self.call("config", "set", "acl.style", "pattern")

    @property
    def database(self) -> Path:
        return self.path / "devices.db"

    def call(self, verb: str, *args: str | Path, unlocked: bool = True, **more: str) -> Spent:
        env = {"IOTONBOARD_STATE": str(self.path), **more}
        if unlocked:
            env["IOTONBOARD_PASSPHRASE_FILE"] = str(self.key_file)
        return process(*PROGRAM, verb, *args, env=env, cwd=self.folder)

    def fresh(self) -> str:
        return f"bench-{uuid.uuid4().hex[:12]}"

    def copy(self, folder: Path) -> State:
        shutil.copytree(self.folder, folder)
        return State(folder)


@contextmanager
def kept_or_temporary(folder: Path | None) -> Iterator[Path]:
    """A folder that stays when one is named, else one that goes."""
    if folder is None:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.resolve()
