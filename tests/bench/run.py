"""Measure the program beside its peers and bare loops, and print the table as Markdown.

    python tests/bench/run.py [--quick] [--runs N] [--devices N] [--states DIR] [--peers-dir DIR] [--only GROUP ...]

Both sides of a line run in turn (A B A B ...) on the same machine in the same minutes; the figure is the median,
the ratio the median of the pairs. Whole processes are timed, from start to exit; the note has the ratio of their
processor times, which tells more on a busy machine, and the largest memory of the project's process.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from batches import batches, memory
from measure import PROGRAM, Line, Run, Spent, State, environment, install, kept_or_temporary, pair, process
from peers import many_devices, one_device
from size import crls, large

LIGHT = "import typer, sqlite3"
HEAVY = "import typer, cryptography.x509, sqlite3, pyzipper"


def startup(state: State, runs: int) -> list[Line]:
    def bare(code: str) -> Run:
        return lambda: process(sys.executable, "-c", code)

    def deferred() -> Spent:
        name = state.fresh()
        state.call("register", name, "--no-bundle")
        return state.call("revoke", name, "--defer", unlocked=False)

    light = [
        ("`--version`", lambda: process(*PROGRAM, "--version")),
        ("`--help`", lambda: process(*PROGRAM, "--help")),
        ("`show`", lambda: state.call("show", "first", unlocked=False)),
        ("`sync-acl`", lambda: state.call("sync-acl", unlocked=False)),
        ("`revoke --defer`", deferred),
    ]
    lines = [pair(what, f"`{LIGHT}`", "<= 1.25", ours, bare(LIGHT), runs) for what, ours in light]
    one = pair(
        "`register`, one EC device with bundle", f"`{HEAVY}`", "<= 1.30",
        lambda: state.call("register", state.fresh()), bare(HEAVY), runs,
    )  # fmt: skip
    return [*lines, one]


def without_bytecode(state: State, folder: Path, runs: int) -> list[Line]:
    """The package as it lies in a folder that is read-only and was never compiled; all others have their bytecode."""
    bare = install(folder / "bare", compiled=False)
    env = {"PYTHONDONTWRITEBYTECODE": "1", "IOTONBOARD_STATE": str(state.path),
           "IOTONBOARD_PASSPHRASE_FILE": str(state.key_file)}  # fmt: skip
    calls: list[tuple[str, Callable[[], list[str]]]] = [
        ("`show`", lambda: ["show", "first"]),
        ("`register`, one EC device with bundle", lambda: ["register", state.fresh()]),
    ]
    return [
        pair(f"{what}, package without bytecode", "the same, compiled", "-",
             lambda words=words: process(*bare, *words(), env=env), lambda words=words: state.call(*words()), runs)
        for what, words in calls
    ]  # fmt: skip


def stream(state: State, count: int) -> list[Line]:
    env = environment(IOTONBOARD_STATE=str(state.path), IOTONBOARD_PASSPHRASE_FILE=str(state.key_file))
    with subprocess.Popen(
        [*PROGRAM, "register", "--stream", "--json"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
    ) as child:
        assert child.stdin
        assert child.stdout
        spent = []
        for _ in range(count):
            begin = time.perf_counter()
            child.stdin.write(state.fresh().encode() + b"\n")
            child.stdin.flush()
            child.stdout.readline()
            spent.append((time.perf_counter() - begin) * 1000)
        child.stdin.close()
    return [
        Line("`register --stream`, line in to line out", "-", "median <= 12 ms", f"{statistics.median(spent):.1f} ms")
    ]


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else 0
    openssl = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=False).stdout.strip()
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {openssl}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three runs, small sizes")
    parser.add_argument("--runs", type=int, help="counted runs of each pair")
    parser.add_argument("--devices", type=int, help="size of the large states; default 1 000 000, quick 100 000")
    parser.add_argument("--states", type=Path, help="folder that keeps the large states for the next run")
    parser.add_argument("--peers-dir", type=Path, help="folder for the peers from PyPI; made when it is not there")
    parser.add_argument("--only", nargs="+", metavar="GROUP", help="startup, peers, stream, batches, size, crl, memory")
    options = parser.parse_args()
    quick, runs = options.quick, options.runs or (3 if options.quick else 11)
    devices, few = options.devices or (100_000 if quick else 1_000_000), min(runs, 5)
    with tempfile.TemporaryDirectory() as name, kept_or_temporary(options.states) as states:
        folder = Path(name)
        PROGRAM[:] = install(folder / "installed")
        state = State(folder / "small")
        state.call("register", "--count", "999", "--no-bundle")
        state.call("register", "first")
        groups: list[tuple[str, Callable[[], Iterable[Line]]]] = [
            ("startup", lambda: startup(state, runs)),
            ("startup", lambda: without_bytecode(state, folder, runs)),
            ("peers", lambda: one_device(state, folder, options.peers_dir, runs)),
            ("peers", lambda: many_devices(state, folder, options.peers_dir, 100 if quick else 1000, min(few, 3))),
            ("stream", lambda: stream(state, 100 if quick else 500)),
            ("batches", lambda: batches(state, folder, 2000 if quick else 5000, few)),
            ("memory", lambda: memory(state, folder, 5000 if quick else 50_000)),
            ("size", lambda: large(state, states, folder, devices, runs)),
            *[("crl", lambda size=size: crls(state, states, folder, size, few))
              for size in (100_000, 1_000_000) if size <= devices],
        ]  # fmt: skip
        print(f"{machine()}; medians of {runs} pairs\n")
        print("| what | peer | peer's | this project | ratio | required | note |\n|---|---|---|---|---|---|---|")
        for group, lines in groups:
            for line in lines() if not options.only or group in options.only else ():
                print(line, flush=True)


if __name__ == "__main__":
    main()
