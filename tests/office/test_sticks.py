"""Sticks as they come: in any order, with what else lies on them, and pulled out in the middle."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from iotonboard.ca.passphrase import parse_passphrase_file
from iotonboard.commands.station_take import take
from iotonboard.model import Caller
from iotonboard.office.key import open_key
from iotonboard.office.office import open_office
from iotonboard.store.registry.merge import TABLES

from support.faults import refuse_to_read
from support.offices import Office, journal, make_office, own_fingerprint, trust
from support.program import State
from support.terminal import on_terminal


@pytest.fixture(scope="module")
def history(station: State, tmp_path_factory: pytest.TempPathFactory) -> tuple[State, list[Path], Path]:
    """A station's journals, one behind the other and one that overlaps, and one that tells everything."""
    folder = tmp_path_factory.mktemp("history")
    state, rows, paths = station.copy_to(folder), [0], list[Path]()
    for number, words in enumerate((
        ("register", "press-8"), ("revoke", "press-1"), ("topics", "add", "press-8", "read:extra"),
        ("release", "press-4"), ("topics", "remove", "press-8", "read:extra"), ("retire", "press-8", "--yes"),
    )):  # fmt: skip
        state.run(*words)
        paths.append(folder / f"{number}.journal")
        rows.append(journal(state, paths[-1], rows[-1]))
    paths.append(folder / "overlaps.journal")
    journal(state, paths[-1], rows[2])
    everything = folder / "everything.journal"
    journal(state, everything)
    return state, paths, everything


@pytest.fixture(scope="module")
def trusting(history: tuple[State, list[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Office:
    """An office that trusts the station; whoever takes something copies it first."""
    office = make_office(tmp_path_factory.mktemp("trusting"))
    trust(office, history[0], "line7")
    return office


def copy(office: Office, folder: Path) -> Office:
    shutil.copytree(office.path, folder)
    return Office(folder, office.passphrase_file)


def rows_of(office: Office) -> dict[str, list[object]]:
    """What the registry knows of stations, but for what is only of their newest journals."""
    with closing(sqlite3.connect(office.path / "devices.db")) as database:
        return {
            table: database.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall()  # noqa: S608
            for table in TABLES
        }


def take_all(office: Office, paths: list[Path]) -> list[object]:
    caller, now = Caller("a", "b", "station take"), datetime.now(UTC).replace(microsecond=0)
    with open_office(str(office.path), {}, caller, lambda: now) as opened:
        key = open_key(opened.certs, parse_passphrase_file(office.passphrase_file.read_bytes()))
        return list(take(opened, list(map(str, paths)), lambda: key))


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_journals_come_in_any_order(
    data: st.DataObject,
    history: tuple[State, list[Path], Path],
    trusting: Office,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    _, paths, everything = history
    folder = tmp_path_factory.mktemp("order")
    parts, whole = copy(trusting, folder / "parts"), copy(trusting, folder / "whole")
    order = data.draw(st.permutations(paths))
    at_once = data.draw(st.integers(1, 4))
    for _ in paths:  # a gap is closed by a later round at the latest
        for begin in range(0, len(order), at_once):
            take_all(parts, order[begin : begin + at_once])
    take_all(parts, [everything])
    take_all(whole, [everything])
    assert rows_of(parts) == rows_of(whole)


def test_what_else_lies_on_a_stick_is_passed_over(station: State, tmp_path: Path) -> None:
    office, stick = make_office(tmp_path / "hq"), tmp_path / "stick"
    trust(office, station, "line7")
    (stick / "line7" / "deep").mkdir(parents=True)
    journal(station, stick / "line7" / "deep" / "A.JOURNAL")
    os.mkfifo(stick / "pipe.journal")
    (stick / "folder.journal").mkdir()
    (stick / "circle").symlink_to(stick)
    (stick / "dead.journal").symlink_to(stick / "nowhere")
    (stick / ".Trash").mkdir()
    (stick / ".Trash" / "b.journal").write_bytes(b"")
    results = office.run("station", "take", stick, "--json", expect=5).json_lines
    assert {Path(one["path"]).name: one["status"] for one in results} == {
        "A.JOURNAL": "taken", "pipe.journal": "failed", "dead.journal": "failed",
    }  # fmt: skip


def test_a_stick_that_is_pulled_out_loses_nothing(station: State, other_station: State, tmp_path: Path) -> None:
    office, stick = make_office(tmp_path / "hq"), tmp_path / "stick"
    stick.mkdir()
    for name, state in (("line7", station), ("line8", other_station)):
        trust(office, state, name)
        journal(state, stick / f"{name}.journal")
    gone = refuse_to_read(stick / "line8.journal")
    results = office.run("station", "take", stick, "--json", before=gone, expect=8).json_lines
    assert [one["status"] for one in results] == ["failed", "taken"]
    results = office.run("station", "take", stick, "--json").json_lines
    assert sorted(one["status"] for one in results[:2]) == ["known", "taken"]


def test_a_person_compares_the_fingerprint_on_a_terminal(station: State, tmp_path: Path) -> None:
    office = make_office(tmp_path / "hq")
    found = own_fingerprint(station)
    at = State(office.path, office.passphrase_file)
    words = "station", "trust", "line7", str(station.ca_cert)
    raw, _, code = on_terminal(at, *words, answers=["00000000"], columns=160)
    assert (code, "that is another one: nothing was done" in raw) == (2, True)
    assert " ".join(found[place : place + 8] for place in range(0, 32, 8)) in raw
    raw, _, code = on_terminal(at, *words, answers=[found[-8:]], columns=160)
    assert code == 0, raw
    assert office.run("station", "list").stdout.startswith("line7\t")
