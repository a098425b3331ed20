"""What an office does not take: journals of strangers, damaged ones, and another history than it was told before."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from support.clock import fake_time
from support.faults import KILLED, die_at
from support.offices import Office, journal, make_office, trust
from support.program import State


@pytest.fixture
def plain(tmp_path: Path) -> Office:
    """An office whose registry lies in its folder: what is refused is so before any engine."""
    return make_office(tmp_path / "hq")


def dump(office: Office) -> list[str]:
    """What the registry holds."""
    with closing(sqlite3.connect(office.path / "devices.db")) as database:
        return list(database.iterdump())


def test_nobody_else_tells_of_a_station(plain: Office, station: State, other_station: State, tmp_path: Path) -> None:
    trust(plain, station, "line7")
    foreign = tmp_path / "foreign.journal"
    journal(other_station, foreign)
    before = dump(plain)
    told = plain.run("station", "take", foreign, expect=6).stderr
    assert "nobody here trusts the CA" in told
    assert "iotonboard station trust NAME ca.pem" in told
    assert dump(plain) == before
    plain.run("station", "remove", "line7", "--yes")
    own = tmp_path / "own.journal"
    journal(station, own)
    assert "the station 'line7' was removed" in plain.run("station", "take", own, expect=6).stderr


def test_a_damaged_journal_is_not_taken_in_part(plain: Office, station: State, tmp_path: Path) -> None:
    trust(plain, station, "line7")
    whole = tmp_path / "whole.journal"
    journal(station, whole)
    octets, before = whole.read_bytes(), dump(plain)
    damaged = tmp_path / "damaged.journal"
    begin, end = octets.index(b"\n", 30) + 40, octets.index(b"\n", octets.index(b"\n", 30) + 1)
    outside = [place for place in range(0, len(octets), max(len(octets) // 40, 1)) if not begin <= place <= end]
    for place in (*outside, begin, len(octets) - 1):  # the last bits of a word in Base64 say nothing
        damaged.write_bytes(octets[:place] + bytes([octets[place] ^ 1]) + octets[place + 1 :])
        told = plain.run("station", "take", damaged, expect=6).stderr
        assert "damaged.journal" in told, place
    for length in (0, 10, 30, 400, len(octets) // 2, len(octets) - 1):
        damaged.write_bytes(octets[:length])
        plain.run("station", "take", damaged, expect=6)
    damaged.write_bytes(octets + b"\0")
    plain.run("station", "take", damaged, expect=6)
    assert dump(plain) == before
    results = plain.run("station", "take", tmp_path, "--json", expect=6).json_lines
    assert [one["status"] for one in results] == ["failed", "taken"]


def test_what_is_no_journal_is_named(plain: Office, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    assert "there is no journal in" in plain.run("station", "take", stick, expect=5).stderr
    (stick / "._x.journal").write_bytes(b"Mac OS X")
    (stick / "notes.txt").write_bytes(b"nothing")
    assert "there is no journal in" in plain.run("station", "take", stick, expect=5).stderr
    assert "this is no journal" in plain.run("station", "take", stick / "notes.txt", expect=6).stderr
    assert "there is no file" in plain.run("station", "take", stick / "gone.journal", expect=5).stderr


def test_a_station_that_was_put_back_is_known_by_its_history(plain: Office, station: State, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    state = station.copy_to(tmp_path)
    trust(plain, state, "line7")
    first = tmp_path / "1.journal"
    early = journal(state, first)
    copied = state.copy_to(tmp_path / "copy")
    state.register("press-5")
    state.register("press-6")
    second = tmp_path / "2.journal"
    until = journal(state, second)
    plain.run("station", "take", second)
    before = dump(plain)
    # An older journal that still lies on the stick is nothing new.
    assert plain.json("station", "take", first)["status"] == "known"
    # The same rows again, written later: of the older copy.
    later = {"env": fake_time("+2d")}
    shorter = tmp_path / "3.journal"
    assert journal(copied, shorter, early, **later) < until
    told = plain.run("station", "take", shorter, expect=4).stderr
    assert "'line7' tells another history than it did before" in told
    copied.register("oven-1", "oven-2", "oven-3", **later)
    longer = tmp_path / "4.journal"
    assert journal(copied, longer, early, **later) > until
    assert "another history" in plain.run("station", "take", longer, expect=4).stderr
    assert dump(plain) == before


def test_a_station_without_a_newer_backup_goes_on_and_loses_no_revocation(
    office: Office, station: State, tmp_path: Path
) -> None:
    (tmp_path / "copy").mkdir()
    state = station.copy_to(tmp_path)
    trust(office, state, "line7")
    early = journal(state, tmp_path / "1.journal")
    office.run("station", "take", tmp_path / "1.journal")
    copied = state.copy_to(tmp_path / "copy")
    (lost,) = state.register("press-5")
    state.run("revoke", "press-1", "--reason", "keyCompromise")
    journal(state, tmp_path / "2.journal", early)
    office.run("station", "take", tmp_path / "2.journal")
    full, part = tmp_path / "full.journal", tmp_path / "part.journal"
    assert "'line7' was not put back" in _put_back(office, tmp_path / "1.journal", 6)
    copied.register("press-6")
    row = journal(copied, full)
    told = office.run("station", "take", full, expect=4).stderr
    assert "iotonboard station put-back line7 FILE" in told
    journal(copied, part, early)
    assert "does not tell everything" in _put_back(office, part, 6)
    done = office.json("station", "put-back", "line7", full)
    (revoked,) = copied.json("show", "press-1")["certificates"]
    assert [(one["id"], one["serial"], one["reason"]) for one in done["revocations_ordered"]] == [
        ("press-1", revoked["serial"], "keyCompromise")
    ]
    assert [(one["id"], one["serial"]) for one in done["certificates_lost"]] == [("press-5", lost["serial"])]
    shown = office.json("station", "show", "line7")
    assert (shown["devices"], shown["row"]) == (5, row)
    # From here on its history goes on as any other; what lies on the stick from before is nothing new.
    journal(copied, tmp_path / "3.journal", row)
    results = office.run("station", "take", tmp_path, "--json").json_lines
    assert {Path(one["path"]).stem: one["status"] for one in results} == {
        "1": "known", "2": "known", "full": "known", "part": "taken", "3": "taken",
    }  # fmt: skip


def _put_back(office: Office, path: Path, exit_code: int) -> str:
    return office.run("station", "put-back", "line7", path, expect=exit_code).stderr


def test_a_call_that_was_killed_left_a_journal_whole_or_nothing(
    plain: Office, station: State, other_station: State, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    for name, state in (("line7", station), ("line8", other_station)):
        trust(plain, state, name)
        journal(state, stick / f"{name}.journal")
    found = set[tuple[int, int]]()
    for step in range(1, 60):
        killed = plain.run("station", "take", stick, before=die_at(step), expect=(0, KILLED)).exit_code
        shown = [plain.json("station", "show", name) for name in ("line7", "line8")]
        assert [(one["journals"], one["devices"]) for one in shown] in (
            [(0, 0), (0, 0)], [(0, 0), (1, 2)], [(1, 4), (0, 0)], [(1, 4), (1, 2)],
        )  # fmt: skip
        found.add((shown[0]["journals"], shown[1]["journals"]))
        if not killed:
            break
    assert len(found) >= 3
    assert plain.run("station", "take", stick, "--json").json_lines[0]["status"] == "known"
