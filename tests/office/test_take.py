"""An office takes what its stations tell: in any order, once, whole or not at all, and from those alone it trusts."""

from __future__ import annotations

from pathlib import Path

from support.offices import Office, journal, trust
from support.program import State


def test_a_station_is_trusted_by_its_fingerprint(office: Office, station: State) -> None:
    said = office.run("station", "trust", "line7", station.ca_cert, expect=2).stderr
    assert "compare the fingerprint" in said
    other = office.run("station", "trust", "line7", station.ca_cert, "--fingerprint", "ab" * 32, expect=6).stderr
    assert "the fingerprint is another one" in other
    trust(office, station, "line7")
    trust(office, station, "line7")
    assert office.run("station", "list").stdout.startswith("line7\t")
    words = "--fingerprint", office.json("station", "show", "line7")["ca_fingerprint"]
    assert "is the station 'line7'" in office.run("station", "trust", "x", station.ca_cert, *words, expect=4).stderr


def test_what_a_station_tells_is_taken_once(office: Office, station: State, tmp_path: Path) -> None:
    trust(office, station, "line7")
    row = journal(station, tmp_path / "1.journal")
    first = office.json("station", "take", tmp_path / "1.journal")
    assert first["status"] == "taken"
    assert first["rows"]["device"] == 4
    again = office.json("station", "take", tmp_path)
    assert again["status"] == "known"
    shown = office.json("station", "show", "line7")
    assert (shown["devices"], shown["certificates"], shown["revoked"]) == (4, 4, 2)
    assert shown["row"] == row


def test_a_part_of_a_history_joins_what_was_taken(office: Office, station: State, tmp_path: Path) -> None:
    state = station.copy_to(tmp_path)
    trust(office, state, "line7")
    stick = tmp_path / "stick"
    stick.mkdir()
    first = journal(state, stick / "z.journal")
    state.run("release", "press-4")
    state.register("press-5")
    second = journal(state, stick / "b.journal", first)
    state.run("topics", "add", "press-5", "read:extra")
    middle = journal(state, stick / "a.journal", second)
    state.run("topics", "remove", "press-5", "read:extra")
    state.run("revoke", "press-5")
    late = tmp_path / "late.journal"
    last = journal(state, late, middle)
    refused = office.run("station", "take", late, expect=6).stderr
    assert "a gap" in refused
    assert "iotonboard journal --since 0" in refused
    results = office.run("station", "take", stick, "--json").json_lines
    assert [Path(one["path"]).name for one in results] == ["z.journal", "b.journal", "a.journal"]
    overlaps = tmp_path / "overlaps.journal"
    newest = journal(state, overlaps, second)
    assert newest > last
    office.run("station", "take", overlaps)
    shown = office.json("station", "show", "line7")
    assert (shown["devices"], shown["revoked"], shown["row"]) == (5, 2, newest)
    assert office.json("station", "take", late)["status"] == "known"


def test_a_device_that_came_to_a_profile_has_its_new_attributes(office: Office, station: State, tmp_path: Path) -> None:
    state = station.copy_to(tmp_path)
    trust(office, state, "line7")
    first = journal(state, tmp_path / "1.journal")
    office.run("station", "take", tmp_path / "1.journal")
    words = ("--profile", "idevid", "--set", "hardware_type=1.3.6.1.4.1.99999.1")
    state.run("register", "press-1", "--if-exists", "reissue", *words)
    journal(state, tmp_path / "2.journal", first)
    office.run("station", "take", tmp_path / "2.journal")
    assert office.json("show", "press-1")["attributes"] == {"hardware_type": "1.3.6.1.4.1.99999.1"}
