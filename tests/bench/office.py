"""Offices: what stations told is taken, and looked at, in a PostgreSQL server beside SQLite.

The stations are made of a real one's journals by ``plant``, which says how; the server is Debian's on loopback, with
its usual ``fsync``, as SQLite has it.
"""

from __future__ import annotations

import atexit
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

from measure import PROGRAM, PROJECT, Case, Line, Spent, State, milliseconds, named, pair, process
from size import grown

sys.path.append(str(PROJECT / "tests"))
_PLANT = Path(__file__).with_name("plant.py")
_READERS = 8
_HOW = "simulated stations, made of a real one's journals"


class Plant:
    """An office that trusts many stations, in either engine, and their journals; made once."""

    def __init__(self, state: State, states: Path, folder: Path, stations: int, devices: int) -> None:
        self.stations, self.devices, self.folder = stations, devices, folder / f"plant-{stations}"
        self.states, self.state, self.copies = states, state, 0

    def make(self) -> None:
        """Make the stations' journals, a full one and a day's, and the offices that trust them."""
        if self.folder.exists():
            return
        self.folder.mkdir()
        station = grown(self.state, self.states, self.devices, 100).copy(self.folder / "station")
        full, daily = self.folder / "full.journal", self.folder / "daily.journal"
        station.call("journal", "--full", "--out", full)
        station.call("register", "--count", "10", "--no-bundle")
        station.call("revoke", "first")
        rows = full.read_bytes()[:4096].partition(b'"until":[')[2].partition(b",")[0].decode("ascii")
        station.call("journal", "--since", rows, "--out", daily)
        self.server = served()
        self.url = self.server.new_database()
        for engine, url in (("sqlite", ""), ("postgresql", self.url)):
            at, stick = self.folder / engine, self.folder / f"stick-{engine}"
            stick.mkdir()
            env = {"IOTONBOARD_STATE": str(at), "DATABASE_URL": url, "PYTHONPATH": str(PROJECT)}
            env = {key: value for key, value in env.items() if value}
            process(*PROGRAM, "init-office", "--generate-key-file", self.folder / f"{engine}.pass", env=env)
            words = at, self.folder / f"{engine}.pass", stick, str(self.stations), full, daily
            process(sys.executable, _PLANT, *words, env=env)

    def fresh(self, engine: str, *taken: str) -> dict[str, str]:
        """The environment of an office as it was made, which took these rounds of journals."""
        self.make()
        self.copies += 1
        at, name = self.folder / f"{engine}-{self.copies}", f"copy_{self.copies}"
        shutil.copytree(self.folder / engine, at)
        env = {"IOTONBOARD_STATE": str(at), "IOTONBOARD_PASSPHRASE_FILE": str(self.folder / f"{engine}.pass")}
        if engine == "postgresql":
            self.server.ask("postgres", f"CREATE DATABASE {name} TEMPLATE {self.url.rpartition('/')[2]}")
            env["DATABASE_URL"] = self.server.url(name)
        for number in taken:
            self.take(engine, number, env)
        return env

    def take(self, engine: str, number: str, env: dict[str, str]) -> Spent:
        """Take a round of journals: ``1`` the full ones, ``2`` the day's."""
        return process(*PROGRAM, "station", "take", self.folder / f"stick-{engine}" / number, env=env)


def served() -> Any:
    """A server until this program ends, which syncs what it commits."""
    serving = import_module("support.postgres").serve(durable=True)
    server = serving.__enter__()
    atexit.register(serving.__exit__, None, None, None)
    return server


def offices(state: State, states: Path, folder: Path, stations: int) -> list[Case]:
    """Taking first journals and a day's, memory, and eight readers at once."""
    plant = Plant(state, states, folder, stations, 10_000)
    few = Plant(state, states, folder, max(stations // 10, 1), 10_000)
    size = f"{named(stations)} stations of 10 000 devices"

    def first(engine: str) -> Spent:
        return plant.take(engine, "1", plant.fresh(engine))

    def daily(engine: str) -> Spent:
        return plant.take(engine, "2", plant.fresh(engine, "1"))

    def memory(_runs: int) -> Line:
        small, large = (one.take("sqlite", "1", one.fresh("sqlite")) for one in (few, plant))
        return Line(f"memory of `station take`, {size}", f"the same with {few.stations}", "does not grow",
                    f"{large.peak_mb:.0f} MB", f"{small.peak_mb:.0f} MB", large.peak_mb / small.peak_mb,
                    f"in {milliseconds(large.wall_ms)}; {_HOW}")  # fmt: skip

    def readers(engine: str) -> Spent:
        env = _readable.setdefault(engine, plant.fresh(engine, "1"))
        begin = time.perf_counter()
        with ThreadPoolExecutor(_READERS) as threads:
            words = [(*PROGRAM, "list", "--limit", "20000", "--json")] * _READERS
            spent = list(threads.map(lambda one: process(*one, env=env), words))
        wall = (time.perf_counter() - begin) * 1000
        return Spent(wall, sum(one.cpu_ms for one in spent), max(one.peak_mb for one in spent))

    _readable: dict[str, dict[str, str]] = {}
    return [
        pair("office-take", f"`station take` of full journals, {size}, PostgreSQL", "SQLite", "<= 2.00",
             lambda: first("postgresql"), lambda: first("sqlite"), note=_HOW, most_runs=3),
        pair("office-daily", f"`station take` of a day's journals, {size}, PostgreSQL", "SQLite", "<= 2.00",
             lambda: daily("postgresql"), lambda: daily("sqlite"), note=_HOW, most_runs=3),
        Case("office-memory", memory),
        pair("office-readers", f"eight `list --limit 20000` at once, {size}, PostgreSQL", "SQLite", "<= 1.00",
             lambda: readers("postgresql"), lambda: readers("sqlite"), note=_HOW, most_runs=5),
    ]  # fmt: skip
