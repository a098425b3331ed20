"""What will expire, for people, scripts, calendars and metrics."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support.program import State
from support.tools import need_module

icalendar, parser = need_module("icalendar"), need_module("prometheus_client.parser")


@pytest.fixture(scope="module")
def whole_fleet(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    """Soon and late devices, one of the soon ones revoked, one renewed; a broker that expires soon."""
    state = pristine.copy_to(tmp_path_factory.mktemp("fleet"))
    state.run("register", "soon", "gone", "renewed", "--validity-days", "5")
    state.run("register", "late", "--validity-days", "300")
    state.run("revoke", "gone")
    state.run("renew", "renewed", "--validity-days", "300")
    state.run("broker", "issue", "broker.test", "--validity-days", "10")
    return state


@pytest.fixture
def fleet(whole_fleet: State, tmp_path: Path) -> State:
    return whole_fleet.copy_to(tmp_path)


def test_only_what_is_due_is_shown(fleet: State) -> None:
    done = fleet.run("expiring", "--json", expect=9)
    assert [(one["kind"], one["name"]) for one in done.json_lines] == [("broker", "broker.test"), ("device", "soon")]
    later = fleet.run("expiring", "--within", "3650", "--json", expect=9).json_lines
    assert {one["kind"] for one in later} == {"broker", "ca", "crl", "device"}
    assert {one["name"] for one in later if one["kind"] == "device"} == {"soon", "late", "renewed"}


def test_each_kind_says_what_to_type(fleet: State) -> None:
    said = fleet.run("expiring", expect=9).stderr
    assert "next: iotonboard renew --expiring-within DAYS" in said
    assert "next: iotonboard broker issue broker.test\n" in said
    assert "gen-crl" not in said
    said = fleet.run("expiring", "--within", "3650", expect=9).stderr
    assert "next: iotonboard gen-crl" in said
    assert "next: iotonboard ca rollover begin" in said


def test_a_device_counts_with_its_last_valid_certificate(fleet: State) -> None:
    """The renewed one is revoked: the one before is all that the device has."""
    newest, before = fleet.json("show", "renewed")["certificates"]
    fleet.run("revoke", "--serial", newest["serial"])
    (found,) = [one for one in fleet.run("expiring", "--json", expect=9).json_lines if one["name"] == "renewed"]
    assert (found["key"], found["not_after"]) == (before["serial"], before["not_after"])


def test_a_device_that_expired_lately_is_due_too_and_is_renewed(fleet: State) -> None:
    """A visit that came too late finds it; what was revoked, put on hold or retired stays out."""
    fleet.run("register", "gone-late", "held-late", "retired-late", "late-late", "--validity-days", "5")
    for name, reason in (("gone-late", "keyCompromise"), ("held-late", "certificateHold")):
        fleet.run("revoke", "--serial", fleet.json("renew", name)["serial"], "--reason", reason)
    with closing(sqlite3.connect(fleet.path / "devices.db")) as connection:
        names = "SELECT id FROM device WHERE device_id LIKE '%-late' OR device_id = 'soon'"
        first = f"SELECT min(id) FROM certificate WHERE device IN ({names}) GROUP BY device"  # noqa: S608
        ten_days = 10 * 86400
        change = "UPDATE certificate SET not_before = not_before - ?, not_after = not_after - ? WHERE id IN"
        connection.execute(f"{change} ({first})", (ten_days, ten_days))
        connection.commit()
    fleet.run("retire", "retired-late")
    due = [one["name"] for one in fleet.run("expiring", "--json", expect=9).json_lines if one["kind"] == "device"]
    assert due == ["late-late", "soon"]
    assert "late-late" not in fleet.run("expiring", "--within", "4", expect=None).stdout
    renewed = fleet.run("renew", "--expiring-within", "30", "--json").json_lines
    assert [one["device_id"] for one in renewed] == ["late-late", "soon"]
    assert fleet.json("show", "late-late")["status"] == "active"
    assert "user late-late\n" in fleet.acl.read_text()


def test_nothing_due_is_exit_0(state: State) -> None:
    state.register("late")
    assert state.run("expiring").stdout == ""


def test_thresholds_come_from_the_configuration(fleet: State) -> None:
    fleet.run("config", "set", "expiring.device_days", "2")
    fleet.run("config", "set", "expiring.broker_days", "2")
    assert fleet.run("expiring", "--json").stdout == ""


def test_the_calendar_is_one(fleet: State, tmp_path: Path) -> None:
    fleet.run("expiring", "--ics", tmp_path / "due.ics", expect=9)
    octets = (tmp_path / "due.ics").read_bytes()
    assert max(len(line) for line in octets.split(b"\r\n")) <= 75
    events = icalendar.Calendar.from_ical(octets).walk("VEVENT")
    assert {str(event["summary"]) for event in events} == {"broker broker.test expires", "device soon expires"}
    assert {str(event["uid"]) for event in events} == {"broker-broker.test@iotonboard", "device-soon@iotonboard"}
    assert all(timedelta(0) < event.start - datetime.now(UTC) < timedelta(days=11) for event in events)


def test_the_metrics_are_some(fleet: State, tmp_path: Path) -> None:
    fleet.run("expiring", "--prometheus", tmp_path / "due.prom", expect=9)
    families = {f.name: f for f in parser.text_string_to_metric_families((tmp_path / "due.prom").read_text())}
    counts = {sample.labels["kind"]: sample.value for sample in families["iotonboard_expiring"].samples}
    assert counts == {"device": 1, "broker": 1, "ca": 0, "crl": 0}
    ends = {sample.labels["kind"]: sample.value for sample in families["iotonboard_not_after_seconds"].samples}
    assert set(ends) == {"ca", "crl", "broker"}
    assert ends["crl"] > datetime.now(UTC).timestamp()


def test_what_is_made_anew_keeps_its_name_for_calendars_and_metrics(state: State) -> None:
    def names() -> tuple[set[str], set[tuple[str, str]]]:
        text = state.run("expiring", "--within", "3650", "--prometheus", "-", expect=9).stdout
        (ends,) = [f for f in parser.text_string_to_metric_families(text) if f.name == "iotonboard_not_after_seconds"]
        text = state.run("expiring", "--within", "3650", "--ics", "-", expect=9).stdout
        events = icalendar.Calendar.from_ical(text).walk("VEVENT")
        return {str(event["uid"]) for event in events}, {(s.labels["kind"], s.labels["name"]) for s in ends.samples}

    before = names()
    assert len(before[0]) == len(before[1]) == 2
    state.run("gen-crl")
    assert names() == before


def test_stdout_takes_one_form(fleet: State) -> None:
    assert fleet.run("expiring", "--ics", "-", expect=9).stdout.startswith("BEGIN:VCALENDAR")
    assert fleet.run("expiring", "--csv", expect=9).stdout.startswith("kind,name,not_after,key\n")
    fleet.run("expiring", "--csv", "--json", expect=2)
