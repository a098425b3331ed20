"""A revocation at an office is recorded and denied at once, closed when the station's list has come back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.offices import Office, make_office, trust
from support.program import State, make_state


@pytest.fixture(scope="module")
def stations(tmp_path_factory: pytest.TempPathFactory) -> tuple[State, State, Path]:
    """Two stations, an id at both, and a stick with their journals."""
    folder = tmp_path_factory.mktemp("plant")
    for name in ("line7", "line8", "stick"):
        (folder / name).mkdir()
    line7, line8 = make_state(folder / "line7"), make_state(folder / "line8")
    line7.register("press-1", "press-2", "press-3")
    line8.register("press-1")
    for state in (line7, line8):
        state.run("journal", "--out", folder / "stick")
    return line7, line8, folder / "stick"


@pytest.fixture
def fleet(office: Office, stations: tuple[State, State, Path]) -> Office:
    line7, line8, stick = stations
    trust(office, line7, "line7")
    trust(office, line8, "line8")
    office.run("station", "take", stick)
    return office


def status(office: Office, device_id: str, station: str = "line7") -> str:
    return str(office.json("show", device_id, "--station", station)["status"])


def without_key(office: Office) -> Office:
    """The same office for somebody who has no passphrase."""
    return Office(office.path, Path("/nowhere"), office.url)


def test_it_is_recorded_without_a_passphrase_and_counts_at_once(fleet: Office) -> None:
    done = without_key(fleet).run("revoke", "press-2", "--reason", "keyCompromise", "--json", expect=8)
    assert done.json["station"] == "line7"
    assert done.json["status"] == "ordered"
    crl, *_ = done.json["unpublished"]
    assert "the CRL of the station 'line7' does not have it yet" in crl["error"]
    assert "iotonboard order write" in done.stderr
    shown = fleet.json("show", "press-2")
    assert (shown["status"], shown["certificates"][0]["is_ordered"]) == ("revoked", True)
    again = fleet.run("revoke", "press-2", expect=8)
    assert "was ordered already" in again.stdout
    assert [row["device_id"] for row in fleet.run("list", "--status", "revoked", "--json").json_lines] == ["press-2"]


def test_which_of_two_stations_has_to_be_said(fleet: Office) -> None:
    said = fleet.run("revoke", "press-1", expect=4).stderr
    assert "'press-1' is at the stations 'line7' and 'line8'" in said
    assert "--station NAME" in said
    assert "no station told of a device 'press-9'" in fleet.run("revoke", "press-9", expect=5).stderr
    fleet.run("revoke", "press-3", "press-9", "--strict", expect=5)
    assert status(fleet, "press-3") == "active"
    assert fleet.run("revoke", "press-1", "--station", "line8", "--json", expect=8).json["station"] == "line8"
    assert [status(fleet, "press-1", name) for name in ("line7", "line8")] == ["active", "revoked"]
    assert fleet.run("revoke", "press-1", "--json", expect=8).json["station"] == "line7"


def test_it_is_closed_by_the_list_that_carries_it_for_that_reason(
    fleet: Office, stations: tuple[State, State, Path], tmp_path: Path
) -> None:
    station = stations[0].copy_to(tmp_path)
    fleet.run("revoke", "press-2", "--reason", "keyCompromise", expect=8)
    serial = fleet.json("show", "press-2")["serial"]
    station.run("revoke", "press-2", "--reason", "hold")
    station.run("journal", "--out", tmp_path / "hold.journal")
    taken = fleet.run("station", "take", tmp_path / "hold.journal", "--json").json_lines[0]
    assert taken["closed"] == []  # a hold is not what was ordered
    station.run("revoke", "press-2", "--reason", "keyCompromise")
    station.run("journal", "--out", tmp_path / "final.journal")
    taken = fleet.run("station", "take", tmp_path / "final.journal", "--json").json_lines[0]
    assert [one["serial"] for one in taken["closed"]] == [serial]
    shown = fleet.json("show", "press-2")
    assert (shown["status"], shown["certificates"][0]["is_ordered"]) == ("revoked", False)
    assert "was revoked already" in fleet.run("revoke", "press-2").stdout


def test_files_lists_and_serials_name_certificates(
    fleet: Office, stations: tuple[State, State, Path], tmp_path: Path
) -> None:
    file = stations[0].device("press-3") / "device.crt"
    assert fleet.run("revoke", "--cert", file, "--json", expect=8).json["device_id"] == "press-3"
    serial = fleet.json("show", "press-1", "--station", "line8")["serial"]
    assert fleet.run("revoke", "--serial", serial, "--json", expect=8).json["station"] == "line8"
    names = tmp_path / "names"
    names.write_text("press-2\npress-99\n")
    result = fleet.run("revoke", "--batch", names, "--json", expect=8)
    assert result.json["device_id"] == "press-2"
    assert "'press-99'" in result.stderr
    assert "--defer is for a station's state" in fleet.run("revoke", "press-2", "--defer", expect=2).stderr


def test_no_file_of_the_folder_stands_in_its_way(tmp_path: Path, stations: tuple[State, State, Path]) -> None:
    line7, _, stick = stations
    made = make_office(tmp_path)
    trust(made, line7, "line7")
    made.run("station", "take", stick, expect=6)  # one of another station lies beside it
    made.run("sync-acl")
    for number, (name, content) in enumerate(
        (
            ("office.json", "bad"),
            ("office.json", None),
            ("certs/office.crt", None),
            ("iotonboard.toml", "broker_version = ["),
            ("iotonboard.toml", "unknown = 1"),
            ("derived.db", ""),
        )
    ):
        office = Office(tmp_path / str(number), made.passphrase_file)
        shutil.copytree(made.path, office.path)
        path = office.path / name
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_text(content)
        assert without_key(office).run("revoke", "press-2", "--json", expect=8).json["status"] == "ordered", name
        assert "user press-2\ntopic deny #" in (office.path / "mosquitto.acl").read_text(), name


def test_a_file_of_an_office_in_a_station_s_folder_makes_none_of_it(
    tmp_path: Path, stations: tuple[State, State, Path]
) -> None:
    station = stations[0].copy_to(tmp_path)
    (station.path / "office.json").write_text("{}")
    assert station.json("revoke", "press-3")["crl_number"] == 2
