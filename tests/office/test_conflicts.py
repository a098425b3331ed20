"""One id at two stations: no broker can tell the two apart, so the office names it; and prefixes keep ids apart."""

from __future__ import annotations

from pathlib import Path

from support.offices import Office, journal, trust
from support.program import State


def test_one_live_id_at_two_stations_is_named_with_both_histories(
    office: Office, station: State, other_station: State, tmp_path: Path
) -> None:
    state = station.copy_to(tmp_path)
    stick = tmp_path / "stick"
    stick.mkdir()
    rows = {}
    for name, one in (("line7", state), ("line8", other_station)):
        trust(office, one, name)
        rows[name] = journal(one, stick / f"{name}.journal")
    told = office.run("station", "take", stick, "--json")
    (conflict,) = told.json_lines[-1]["conflicts"]
    assert [(one["station"], one["device_id"]) for one in conflict["devices"]] == [
        ("line7", "press-1"), ("line8", "PRESS-1"),
    ]  # fmt: skip
    serials = [one["certificates"][0]["serial"] for one in conflict["devices"]]
    shown = state.json("show", "press-1"), other_station.json("show", "PRESS-1")
    assert serials == [one["certificates"][0]["serial"] for one in shown]
    assert "'press-1' lives at 'line7' and 'line8'" in told.stderr
    assert office.json("station", "show", "line8")["conflicts"] == [conflict]
    state.run("revoke", "press-1", "--reason", "superseded")
    journal(state, tmp_path / "next.journal", rows["line7"])
    assert "lives at" not in office.run("station", "take", tmp_path / "next.journal").stderr
    assert office.json("station", "show", "line8")["conflicts"] == []


def test_prefixes_keep_ids_apart(office: Office, station: State, other_station: State, tmp_path: Path) -> None:
    for name, one in (("line7", station), ("line8", other_station)):
        trust(office, one, name)
        journal(one, tmp_path / f"{name}.journal")
    office.run("station", "take", tmp_path)
    told = office.run("station", "prefix", "line7", "Press-")
    assert "iotonboard order write --out DIR" in told.stderr
    assert office.json("station", "prefix", "line7", "Press-") == {
        "schema": 1, "command": "station prefix", "station": "line7", "prefix": "Press-", "status": "unchanged",
        "other_ids": 0,
    }  # fmt: skip
    assert "the prefix of 'line7'" in office.run("station", "prefix", "line8", "press-8", expect=4).stderr
    assert office.json("station", "prefix", "line8", "oven-")["other_ids"] == 1
    assert office.json("station", "show", "line8")["prefix"] == "oven-"
    office.run("station", "prefix", "line8", "--none")
    assert office.json("station", "show", "line8")["prefix"] == ""
    assert "no device id begins with" in office.run("station", "prefix", "line8", "a b", expect=6).stderr
    office.run("station", "prefix", "line8", expect=2)
    office.run("station", "prefix", "line9", "x-", expect=5)
