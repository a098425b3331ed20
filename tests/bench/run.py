"""Measure the program beside its peers and bare loops, and print the table as Markdown.

    python tests/bench/run.py [--quick] [--runs N] [--devices N] [--states DIR] [--peers-dir DIR] [--only NAME,...]

Both sides of a line run in turn (A B A B ...) on the same machine in the same minutes; the figure is the median,
the ratio the median of the pairs. Whole processes are timed, from start to exit; the note has the ratio of their
processor times, which tells more on a busy machine, and the largest memory of the project's process.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from batches import batches, memory
from measure import PROGRAM, Case, State, install, kept_or_temporary
from peers import many_devices, one_device
from single import startup, stream, without_bytecode
from size import crl, large
from tokens import token
from verify import verify

from office import offices


def groups(state: State, folder: Path, states: Path, options: argparse.Namespace) -> dict[str, list[Case]]:
    """Every line that can be measured, by its group, in the order of the table."""
    quick, peers = options.quick, options.peers_dir
    devices = options.devices or (100_000 if quick else 1_000_000)
    return {
        "startup": [*startup(state), *without_bytecode(state, folder)],
        "token": token(state, folder),
        "peers": [*one_device(state, folder, peers), *many_devices(state, folder, peers, 100 if quick else 1000)],
        "stream": stream(state, folder, 30 if quick else 200),
        "batches": batches(state, folder, 2000 if quick else 5000),
        "memory": memory(state, folder, 5000 if quick else 50_000),
        "size": large(state, states, folder, devices),
        "verify": verify(state, states, folder, tuple(size for size in (100_000, 1_000_000) if size <= devices)),
        "office": offices(state, states, folder, 10 if quick else 100),
        "crl": [crl(state, states, folder, size) for size in (100_000, 1_000_000) if size <= devices],
    }


def chosen(known: dict[str, list[Case]], only: str | None) -> list[Case]:
    """The lines that are asked for by their names or their groups'; all when nothing is named."""
    names = set(only.split(",")) if only else set(known)
    possible = sorted({*known, *(case.name for cases in known.values() for case in cases)})
    if unknown := names.difference(possible):
        sys.exit(f"no such line: {', '.join(sorted(unknown))}; there are {', '.join(possible)}")
    return [case for group, cases in known.items() for case in cases if {group, case.name} & names]


def machine() -> str:
    """Where and when this is measured."""
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
    parser.add_argument(
        "--only", metavar="NAME,...", help="measure these lines or groups alone, such as register,batches"
    )
    options = parser.parse_args()
    runs = options.runs or (3 if options.quick else 11)
    with tempfile.TemporaryDirectory() as name, kept_or_temporary(options.states) as states:
        folder = Path(name)
        PROGRAM[:] = install(folder / "installed")
        state = State(folder / "small")
        cases = chosen(groups(state, folder, states, options), options.only)
        state.call("register", "--count", "999", "--no-bundle")
        state.call("register", "first")
        print(f"{machine()}; medians of {runs} pairs\n")
        print("| what | peer | peer's | this project | ratio | required | note |\n|---|---|---|---|---|---|---|")
        for case in cases:
            print(case.measure(runs), flush=True)


if __name__ == "__main__":
    main()
