"""What will expire, for people, scripts, calendars and metrics."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support.program import Result, State, run_cli
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
    assert all(re.fullmatch(r"day-\d{4}-\d\d-\d\d-[0-9a-f]{16}@iotonboard", str(event["uid"])) for event in events)
    assert [str(alarm["trigger"].to_ical(), "ascii") for alarm in events[0].walk("VALARM")] == ["-P7D", "-P1D"]
    assert all(timedelta(0) < event.start - datetime.now(UTC) < timedelta(days=11) for event in events)


def read_calendar(path: Path) -> dict[str, tuple[str, int, str]]:
    """Status, sequence and summary of each event by its UID; what the standard asks of a calendar is there."""
    octets = path.read_bytes()
    calendar = icalendar.Calendar.from_ical(octets)
    assert calendar.subcomponents
    assert octets.endswith(b"END:VCALENDAR\r\n")
    events = {str(event["uid"]): event for event in calendar.walk("VEVENT")}
    return {uid: (str(one["status"]), int(one["sequence"]), str(one["summary"])) for uid, one in events.items()}


def test_a_calendar_without_an_event_is_one_too(state: State, tmp_path: Path) -> None:
    state.run("expiring", "--ics", tmp_path / "due.ics")
    assert read_calendar(tmp_path / "due.ics") == {}


def test_what_was_renewed_or_revoked_is_cancelled_under_the_same_uid(fleet: State, tmp_path: Path) -> None:
    fleet.run("expiring", "--ics", tmp_path / "due.ics", expect=9)
    before = read_calendar(tmp_path / "due.ics")
    of = {summary: uid for uid, (_, _, summary) in before.items()}
    fleet.run("renew", "soon", "--validity-days", "300")
    fleet.run("expiring", "--ics", tmp_path / "due.ics", expect=9)
    after = read_calendar(tmp_path / "due.ics")
    renewed, broker = of["device soon expires"], of["broker broker.test expires"]
    assert (after[renewed][0], after[broker][0]) == ("CANCELLED", "CONFIRMED")
    assert all(after[uid][1] > before[uid][1] for uid in of.values())
    fleet.run("broker", "issue", "broker.test", "--validity-days", "300")
    fleet.run("expiring", "--ics", tmp_path / "due.ics")
    assert {status for status, _, _ in read_calendar(tmp_path / "due.ics").values()} == {"CANCELLED"}
    # Without the calendar of before: the database knows what was to end.
    text = fleet.run("expiring", "--ics", "-").stdout
    (tmp_path / "other.ics").write_bytes(text.replace("\n", "\r\n").replace("\r\r", "\r").encode())
    assert {uid for uid, (status, _, _) in read_calendar(tmp_path / "other.ics").items() if status == "CANCELLED"} >= {
        renewed,
        broker,
    }


def test_many_devices_of_one_day_are_one_event(state: State, tmp_path: Path) -> None:
    state.run("register", *(f"d{index:02}" for index in range(60)), "--validity-days", "5")
    state.run("expiring", "--ics", tmp_path / "due.ics", expect=9)
    events = icalendar.Calendar.from_ical((tmp_path / "due.ics").read_bytes()).walk("VEVENT")
    assert sum(str(event["summary"]).startswith("60 devices") for event in events) <= 1
    assert len(events) <= 2  # they may lie around midnight
    text = "".join(str(event["description"]) for event in events)
    assert "device d00 (" in text
    assert "renew --expiring-within" in text


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
    assert len(before[1]) == 2
    state.run("gen-crl")
    assert names() == before


def test_stdout_takes_one_form(fleet: State) -> None:
    assert fleet.run("expiring", "--ics", "-", expect=9).stdout.startswith("BEGIN:VCALENDAR")
    assert fleet.run("expiring", "--csv", expect=9).stdout.startswith("kind,name,not_after,key\n")
    fleet.run("expiring", "--csv", "--json", expect=2)


# -- a broker's machine, without a state -------------------------------------------------------------------------------


def on_a_broker(folder: Path, *words: str | Path, expect: int = 9) -> Result:
    return run_cli("expiring", *words, state=folder / "no state", expect=expect)


def broker_files(state: State) -> tuple[str | Path, ...]:
    certificate = state.certs / "brokers" / "broker.test" / "broker.crt"
    return "--crl", state.crl, "--ca", state.ca_cert, "--cert", certificate


def test_a_broker_s_files_are_watched_without_a_state(fleet: State, tmp_path: Path) -> None:
    due = on_a_broker(tmp_path, *broker_files(fleet), "--json").json_lines
    assert [(one["command"], one["kind"], one["name"]) for one in due] == [("expiring", "broker", "broker.test")]
    assert due[0]["key"] == fleet.json("broker", "show", "broker.test")["certificates"][0]["serial"]
    on_a_broker(tmp_path, *broker_files(fleet), "--within", "1", expect=0)
    later = on_a_broker(tmp_path, *broker_files(fleet), "--within", "3650")
    assert {line.split("\t")[0] for line in later.stdout.splitlines()[1:]} <= {"broker", "ca", "crl"}
    for remedy in ("gen-crl", "ca rollover begin", "broker issue broker.test"):
        assert f"next: on the workstation: iotonboard {remedy}\n" in later.stderr
    assert not (tmp_path / "no state").exists()


def test_each_file_alone_is_watched_and_says_what_the_state_says(fleet: State, tmp_path: Path) -> None:
    known = {one["kind"]: one for one in fleet.run("expiring", "--within", "3650", "--json", expect=9).json_lines}
    words = broker_files(fleet)
    for kind, start in (("crl", 0), ("ca", 2), ("broker", 4)):
        done = on_a_broker(tmp_path, *words[start : start + 2], "--within", "3650", "--json")
        ends = {one["kind"]: one["not_after"] for one in done.json_lines}
        assert ends[kind] == known[kind]["not_after"]
    device = fleet.device("soon") / "device.crt"
    assert "device" in {one["kind"] for one in on_a_broker(tmp_path, "--cert", device, "--json").json_lines}


def test_of_an_issuer_s_lists_the_one_that_lasts_longest_counts(fleet: State, tmp_path: Path) -> None:
    before = fleet.crl.read_bytes()
    fleet.run("gen-crl", "--next-update-days", "2")
    both = tmp_path / "both.pem"
    both.write_bytes(before + fleet.crl.read_bytes())
    on_a_broker(tmp_path, "--crl", fleet.crl)
    on_a_broker(tmp_path, "--crl", both, expect=0)


def test_a_broker_s_calendar_and_metrics_are_some(fleet: State, tmp_path: Path) -> None:
    on_a_broker(tmp_path, *broker_files(fleet), "--prometheus", tmp_path / "due.prom", "--ics", tmp_path / "due.ics")
    text = (tmp_path / "due.prom").read_text()
    (ends,) = [f for f in parser.text_string_to_metric_families(text) if f.name == "iotonboard_not_after_seconds"]
    assert {sample.labels["kind"] for sample in ends.samples} == {"ca", "crl", "broker"}
    (event,) = icalendar.Calendar.from_ical((tmp_path / "due.ics").read_bytes()).walk("VEVENT")
    assert "on the workstation" in str(event["description"])


@pytest.mark.parametrize("option", ["--crl", "--ca", "--cert"])
def test_a_broker_s_file_that_is_away_or_damaged_is_an_error(fleet: State, tmp_path: Path, option: str) -> None:
    assert "there is no file" in on_a_broker(tmp_path, option, tmp_path / "none", expect=5).stderr
    whole = (fleet.crl if option == "--crl" else fleet.ca_cert).read_bytes()
    for content in (b"", b"\0\xff", whole[:-30], whole.replace(b"M", b"A", 1), b"-----BEGIN X"):
        (tmp_path / "damaged").write_bytes(content)
        done = on_a_broker(tmp_path, option, tmp_path / "damaged", expect=6)
        assert "damaged'" in done.stderr
        assert "hint: " in done.stderr
