"""An office's list, show and expiring: what all stations told, as a station shows its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.offices import Office, trust
from support.program import State, make_state


def make_folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[State, State, Path]:
    """Two stations with devices of every status, an id at both, and a stick with their journals."""
    folder = tmp_path_factory.mktemp("plant")
    line7, line8 = (make_state(make_folder(folder / name)) for name in ("line7", "line8"))
    line7.register("press-1", "press-2", "Press-3", "press-4", "--set", "hall=north", "--name", "a press")
    line8.register("PRESS-2", "lathe-1", "--set", "hall=south")
    line7.run("revoke", "press-1", "--reason", "keyCompromise")
    line7.run("revoke", "Press-3", "--reason", "hold")
    line7.run("retire", "press-4", "--yes")
    line8.run("topics", "add", "lathe-1", "read:shared/orders")
    stick = folder / "stick"
    stick.mkdir()
    for state in (line7, line8):
        state.run("journal", "--out", stick)
    return line7, line8, stick


@pytest.fixture
def fleet(office: Office, told: tuple[State, State, Path]) -> Office:
    line7, line8, stick = told
    trust(office, line7, "line7")
    trust(office, line8, "line8")
    office.run("station", "take", stick)
    return office


def listed(office: Office, *options: str) -> list[tuple[str, str, str]]:
    rows = office.run("list", *options, "--json").json_lines
    return [(row["station"], row["device_id"], row["status"]) for row in rows]


def test_list_shows_the_devices_of_all_stations_in_order(fleet: Office) -> None:
    everything = [
        ("line8", "lathe-1", "active"),
        ("line7", "press-1", "revoked"),
        ("line7", "press-2", "active"),
        ("line8", "PRESS-2", "active"),
        ("line7", "Press-3", "on-hold"),
        ("line7", "press-4", "retired"),
    ]
    assert listed(fleet) == everything
    assert listed(fleet, "--limit", "2") == everything[:2]
    assert listed(fleet, "--station", "line8") == [everything[0], everything[3]]
    for status in ("active", "revoked", "on-hold", "retired", "expired"):
        assert listed(fleet, "--status", status) == [one for one in everything if one[2] == status]
    assert listed(fleet, "--set", "hall=south") == [everything[0], everything[3]]
    assert listed(fleet, "--expiring-within", "400", "--set", "hall=north") == [everything[2]]
    assert listed(fleet, "--expiring-within", "30") == []
    assert "no station 'lin7'" in (told := fleet.run("list", "--station", "lin7", expect=5).stderr)
    assert "did you mean 'line7'" in told
    assert fleet.run("list", "lathe-1").stdout.startswith("line8\tlathe-1\tactive\t")


def test_show_finds_a_device_by_its_id_serial_fingerprint_or_file(
    fleet: Office, told: tuple[State, State, Path]
) -> None:
    shown = fleet.json("show", "lathe-1")
    assert (shown["station"], shown["status"], shown["topics"]) == ("line8", "active", ["read:shared/orders"])
    at_station = told[1].json("show", "lathe-1")
    (certificate,), (there,) = shown["certificates"], at_station["certificates"]
    same = ("serial", "not_before", "not_after", "fingerprint", "status", "ca_fingerprint", "profile")
    assert {key: certificate[key] for key in same} == {key: there[key] for key in same}
    for word in (certificate["serial"], certificate["fingerprint"]):
        assert fleet.json("show", word)["device_id"] == "lathe-1"
    file = told[1].device("lathe-1") / "device.crt"
    assert fleet.json("show", "--cert", file)["device_id"] == "lathe-1"
    assert fleet.json("show", "press-1")["certificates"][0]["reason"] == "keyCompromise"


def test_an_id_at_two_stations_is_shown_twice_and_told(fleet: Office) -> None:
    result = fleet.run("show", "press-2", "--json")
    assert result.json["is_double"] is True
    assert "lives at more stations than one" in result.stderr
    assert "did you mean 'Press-3'" in fleet.run("show", "press-3", expect=5).stderr
    assert "no station told of a device 'nobody'" in fleet.run("show", "nobody", expect=5).stderr
    assert "it is at 'line8'" in fleet.run("show", "lathe-1", "--station", "line7", expect=5).stderr
    assert "--batch is for a station's state" in fleet.run("show", "--batch", "x", expect=2).stderr


def test_a_station_has_no_stations(told: tuple[State, State, Path]) -> None:
    assert "--station is for an office" in told[0].run("list", "--station", "line7", expect=2).stderr


def test_expiring_tells_what_ends_at_every_station(fleet: Office, told: tuple[State, State, Path]) -> None:
    assert fleet.run("expiring", "--json").stdout == ""
    rows = fleet.run("expiring", "--within", "400", "--json", expect=9).json_lines
    assert [(row["station"], row["name"]) for row in rows if row["kind"] == "device"] == [
        ("line8", "lathe-1"),
        ("line7", "press-2"),
        ("line8", "PRESS-2"),
    ]
    there = told[0].run("expiring", "--within", "400", "--json", expect=9).json_lines
    same = ("kind", "name", "not_after", "key")
    ours = [{key: row[key] for key in same} for row in rows if row["station"] == "line7"]
    assert ours == [{key: row[key] for key in same} for row in there]
    said = fleet.run("expiring", "--within", "400", expect=9).stderr
    assert "next: at the station 'line7': iotonboard renew --expiring-within DAYS" in said
    assert "BEGIN:VEVENT" in fleet.run("expiring", "--within", "400", "--ics", "-", expect=9).stdout
    assert 'name="line8/lathe-1"' not in (metrics := fleet.run("expiring", "--prometheus", "-").stdout)
    assert 'kind="crl",name="line7/"' in metrics
