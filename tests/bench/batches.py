"""Batches: throughput beside bare loops on the same cores, and memory at two lengths.

Each run registers into a fresh copy of a state of 1 000 devices. Nothing is deleted before the end: ext4 is slow
to give an inode again that was freed within the last seconds.
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

from measure import Case, Line, Spent, State, named, pair, process

_BARE = Path(__file__).with_name("bare.py")
_MOST_RUNS = 5
_number = count(1)


class Fresh:
    """Hands out copies of a state, one for each run."""

    def __init__(self, state: State, folder: Path) -> None:
        self._state, self._folder = state, folder

    def register(self, *args: str | Path) -> Spent:
        return self._state.copy(self._folder / f"fresh-{next(_number)}").call("register", *args)

    def register_below(self, ca: str, *args: str | Path) -> Spent:
        """The same in a state to which a CA was added."""
        state = self._state.copy(self._folder / f"fresh-{next(_number)}")
        state.call("ca", "add", ca)
        return state.call("register", *args)

    def bare(self, work: str, size: int) -> Spent:
        return process(sys.executable, _BARE, work, self._folder / f"bare-{next(_number)}.db", str(size))


def batches(state: State, folder: Path, devices: int) -> list[Case]:
    """``register --count``, as whole processes."""
    fresh, bundles = Fresh(state, folder), devices // 5
    rsa = ("--count", "200", "--key-type", "rsa-2048", "--no-bundle")
    opcua = ("--profile", "opcua", "--set", "host=plc.example", "--set", "vendor=acme", "--set", "product=press")
    return [
        pair("batch-ec", f"`register --count {devices} --no-bundle`, EC",
             "key, signature, commits of 1 000, all cores", "<= 4.00",
             lambda: fresh.register("--count", str(devices), "--no-bundle"), lambda: fresh.bare("ec", devices),
             most_runs=_MOST_RUNS),
        pair("batch-bundles", f"`register --count {bundles}`, EC with AES bundles",
             "the same and PBKDF2 for 4 entries, all cores", "<= 1.45",
             lambda: fresh.register("--count", str(bundles)), lambda: fresh.bare("bundle", bundles),
             most_runs=_MOST_RUNS),
        pair("batch-rsa", f"`register {' '.join(rsa)}`", "RSA key generation, all cores", "<= 1.15",
             lambda: fresh.register(*rsa), lambda: process(sys.executable, _BARE, "rsa", "200"),
             note="the time to find primes varies by itself", most_runs=_MOST_RUNS),
        pair("batch-profile", f"`register {' '.join(rsa[:4])} --profile opcua`", "the same with profile `mqtt`",
             "<= 1.10",
             lambda: fresh.register_below("servers", *rsa, *opcua), lambda: fresh.register_below("servers", *rsa),
             note="the time to find primes varies by itself", most_runs=_MOST_RUNS),
    ]  # fmt: skip


def memory(state: State, folder: Path, devices: int) -> list[Case]:
    """Largest memory of a list's process: what grows with its length up to a limit is SQLite's cache, 16 MB."""

    def measure(_runs: int) -> Line:
        fresh, peaks = Fresh(state, folder), []
        for size in (500, devices):
            file = folder / f"list-{size}.csv"
            file.write_text("device_id,name\n" + "".join(f"list-{size}-{row},Press {row}\n" for row in range(size)))
            peaks.append(fresh.register("--batch", file, "--no-bundle").peak_mb)
        short, long = peaks
        return Line(f"memory of `register --batch`, {named(devices)} rows", "the same with 500", "does not grow",
                    f"{long:.0f} MB", f"{short:.0f} MB", long / short, "SQLite's cache fills up to 16 MB")  # fmt: skip

    return [Case("memory", measure)]
