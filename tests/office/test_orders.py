"""What an office orders goes to its stations on a stick, and comes back with their journals."""

from __future__ import annotations

from pathlib import Path

from support.clock import fake_time
from support.offices import Office, trust
from support.program import State, make_state


def station_of(office: Office, folder: Path, name: str) -> State:
    """A station that the office trusts, and that follows it."""
    folder.mkdir()
    state = make_state(folder)
    trust(office, state, name)
    fingerprint = office.json("machine", "list")["fingerprint"]
    state.run("order", "trust", office.certificate, "--fingerprint", fingerprint)
    return state


def round_trip(office: Office, state: State, stick: Path) -> None:
    """The stick goes to the station and comes back."""
    office.run("order", "write", "--out", stick)
    state.run("order", "take", stick)
    state.run("journal", "--out", stick)
    office.run("station", "take", stick, expect=None)


def test_a_revocation_goes_and_comes_back(office: Office, tmp_path: Path) -> None:
    state = station_of(office, tmp_path / "line7", "line7")
    state.register("press-1", "press-2")
    stick = tmp_path / "stick"
    stick.mkdir()
    state.run("journal", "--out", stick)
    office.run("station", "take", stick)
    office.run("revoke", "press-1", "--reason", "keyCompromise", expect=8)
    (written,) = office.run("order", "write", "--out", stick, "--json").json_lines
    assert (written["station"], written["revocations"]) == ("line7", 1)
    assert office.json("audit", "verify")["unsealed"] == {}
    state.run("order", "take", stick)
    assert state.json("show", "press-1")["status"] == "revoked"
    assert [one["status"] for one in office.json("order", "list")["revocations"]] == ["open"]
    state.run("journal", "--out", stick)
    office.run("station", "take", stick)
    (closed,) = office.json("order", "list")["revocations"]
    assert (closed["status"], closed["device_id"]) == ("closed", "press-1")
    assert "was revoked already" in office.run("revoke", "press-1").stdout
    later = office.run("health", "--check", "orders", env=fake_time("+15d"))
    assert "ok" in later.stdout  # the journal said which orders the station took


def test_an_order_for_production_is_counted_by_the_station_and_told(office: Office, tmp_path: Path) -> None:
    state = station_of(office, tmp_path / "line7", "line7")
    stick = tmp_path / "stick"
    stick.mkdir()
    state.run("config", "set", "orders", "required")
    state.run("register", "press-1", expect=6)
    words = "--station", "line7", "--devices", "2", "--until", "2099-01-01"
    signed = office.json("order", "sign", *words, "--profile", "mqtt")
    assert (signed["order"], signed["devices"], signed["profile"]) == (1, 2, "mqtt")
    round_trip(office, state, stick)
    state.register("press-1", "press-2")
    state.run("register", "press-3", expect=6)
    round_trip(office, state, stick)
    listed = office.json("order", "list")
    assert [(one["made"], one["status"]) for one in listed["production"]] == [(2, "used up")]
    assert listed["without_order"] == {"line7": 0}
    office.run("order", "sign", "--station", "line7", "--devices", "5", "--until", "2099-01-01")
    round_trip(office, state, stick)
    state.register("press-3")
    key = Office(office.path, Path("/nowhere"), office.url)
    assert key.json("order", "withdraw", "2")["status"] == "withdrawn"
    round_trip(office, state, stick)
    state.run("register", "press-4", expect=6)
    state.run("config", "set", "orders", "")
    state.register("press-4")
    round_trip(office, state, stick)
    listed = office.json("order", "list")
    assert [(one["made"], one["status"]) for one in listed["production"]] == [(2, "used up"), (1, "withdrawn")]
    assert listed["without_order"] == {"line7": 1}


def test_what_cannot_be_ordered_is_refused(office: Office, tmp_path: Path) -> None:
    state = make_state(tmp_path)
    trust(office, state, "line7")
    sign = ("order", "sign", "--devices", "5", "--station")
    assert "did you mean 'line7'" in office.run(*sign, "line8", "--until", "2099-01-01", expect=5).stderr
    assert "is past" in office.run(*sign, "line7", "--until", "2020-01-01", expect=6).stderr
    assert "there is no order 9" in office.run("order", "withdraw", "9", expect=5).stderr
    assert "there is no folder" in office.run("order", "write", "--out", tmp_path / "gone", expect=5).stderr
    assert "this is an office" in office.run("order", "take", tmp_path, expect=6).stderr
    assert "no 'order sign' here" in state.run(*sign, "line7", "--until", "2099-01-01", expect=6).stderr
