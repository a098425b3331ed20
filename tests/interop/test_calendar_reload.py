"""CRL calendar, topics of one device and --reload, on a real Mosquitto."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from iotonboard.pki.crl import crl_facts, revoked_entries
from iotonboard.pki.pem import pem_decode_all, pem_encode

from support.client import connect_answer, connected, unpack
from support.clock import fake_time
from support.faults import spoil_what_is_put_in_place
from support.program import State


def lists(state: State) -> list[bytes]:
    return pem_decode_all("X509 CRL", state.crl.read_bytes())


def test_a_calendar_overlaps_and_every_revocation_signs_all_of_it_anew(state: State) -> None:
    state.register("press-1")
    answer = state.json("gen-crl", "--calendar", "4", "--every", "7")
    before = [crl_facts(der) for der in lists(state)]
    assert [one.number for one in before] == [entry["crl_number"] for entry in answer["calendar"]]
    for one, following in itertools.pairwise(before):
        assert one.this_update < following.this_update < one.next_update
    assert before[0].this_update <= datetime.now(UTC) <= before[-1].next_update - timedelta(days=27)
    (serial,) = state.json("revoke", "press-1")["serials"]
    after = [crl_facts(der) for der in lists(state)]
    assert all(serial in [entry[0].hex for entry in revoked_entries(der)] for der in lists(state))
    assert all(new.this_update > old.this_update for old, new in zip(before, after, strict=True))
    assert min(one.number for one in after) > max(one.number for one in before)
    assert "calendar of 4 x 7 days" in state.run("health", "--check", "crl").stdout
    state.run("gen-crl", "--calendar", "0")
    assert len(lists(state)) == 1


def test_a_cap_that_is_lowered_shortens_the_calendar_that_is_kept(state: State) -> None:
    state.run("gen-crl", "--calendar", "8", "--every", "7")
    state.run("config", "set", "crl_calendar_max_days", "20")
    state.run("gen-crl")
    facts = [crl_facts(der) for der in lists(state)]
    assert (len(facts), max(one.next_update for one in facts) <= datetime.now(UTC) + timedelta(days=20)) == (2, True)
    assert "calendar of 2 x 7 days" in state.run("health", "--check", "crl").stdout
    state.run("config", "set", "crl_calendar_max_days", "3")
    state.run("gen-crl")
    assert len(lists(state)) == 1
    state.run("config", "set", "crl_calendar_max_days", "180")
    state.run("gen-crl")
    assert len(lists(state)) == 8


def test_a_calendar_of_one_list_does_not_end_at_once(state: State, tmp_path: Path) -> None:
    state.run("gen-crl", "--calendar", "1", "--every", "7")
    a_minute_early = 7 * 24 * 3600 - 60  # before the second list would begin
    state.run("gen-crl", env=fake_time(f"+{a_minute_early}"))
    (only,) = [crl_facts(der) for der in lists(state)]
    assert only.next_update > datetime.now(UTC) + timedelta(days=13)


def test_a_broker_moves_along_the_calendar_by_itself_and_stays_with_a_revocation(
    state: State, start_broker, tmp_path: Path
) -> None:
    one, two = (unpack(found, tmp_path) for found in state.register("press-1", "press-2"))
    state.run("gen-crl", "--calendar", "5", "--every", "7")
    broker = start_broker(state, clock=True)
    for offset in ("+0", "+8d"):  # the first list, and the second
        broker.set_clock(offset)
        assert connect_answer(broker, one) == connect_answer(broker, two) == "Success"

    state.run("revoke", "press-2", env=fake_time("+9d"))
    signed = state.crl.read_bytes()
    broker.set_clock("+9d")
    broker.reload()
    in_force = set()
    for day in (9, 15, 22, 29, 36):  # five lists of the new calendar, without another reload
        broker.set_clock(f"+{day}d")
        assert connect_answer(broker, one) == "Success", f"day {day}"
        assert connect_answer(broker, two).startswith("refused"), f"day {day}"
        at = datetime.now(UTC) + timedelta(days=day)
        begun = [one for one in map(crl_facts, lists(state)) if one.this_update <= at < one.next_update]
        in_force.add(max(begun, key=lambda one: one.this_update).number)
    assert len(in_force) == 5
    assert broker.log.count("Reloading config") == 1

    broker.set_clock("+22d")
    state.crl.write_bytes(pem_encode("X509 CRL", lists(state)[0]))  # without the calendar
    broker.reload()
    assert connect_answer(broker, one).startswith("refused")
    state.crl.write_bytes(signed)
    broker.reload()
    broker.set_clock("+50d")
    assert connect_answer(broker, one).startswith("refused"), "the calendar has ended"


def test_every_list_of_a_calendar_is_read_back_from_the_disk(state: State) -> None:
    done = state.run("gen-crl", "--calendar", "3", before=spoil_what_is_put_in_place(str(state.crl)), expect=8)
    assert "is not what was signed" in done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--calendar", "60", "--every", "7"], 6),
        (["--every", "7"], 2),
        (["--calendar", "4", "--next-update-days", "9"], 2),
        (["--calendar", "0", "--every", "7"], 2),
        (["--calendar", "-1"], 2),
    ],
)
def test_a_calendar_that_makes_no_sense_is_refused(state: State, words: list[str], code: int) -> None:
    before = state.snapshot()
    state.run("gen-crl", *words, expect=code)
    assert state.snapshot() == before


def test_topics_of_one_device_are_added_checked_and_removed(state: State) -> None:
    state.register("press-1", "press-2")
    assert state.json("topics", "add", "press-1", "read:plant/config")["changed"] is True
    assert b"user press-1\ntopic readwrite devices/press-1/#\ntopic read plant/config\n" in state.acl.read_bytes()
    assert state.json("topics", "add", "press-1", "read:plant/config")["changed"] is False
    before = state.snapshot()
    for bad in ("read:devices/+/x", "write:#", "read:a\nuser b", "read:%u", "all:x", "read: x", "plant"):
        state.run("topics", "add", "press-1", "read:fine", bad, expect=6)
    state.run("topics", "remove", "press-1", "read:other", expect=5)
    state.run("topics", "list", "nobody", expect=5)
    state.run("topics", "add", "press-1", expect=2)
    assert state.snapshot() == before
    assert state.json("topics", "remove", "press-1", "read:plant/config")["topics"] == []
    assert b"plant/config" not in state.acl.read_bytes()


@pytest.mark.parametrize("style", ["per-device", "pattern"])
def test_reload_mutes_a_live_revoked_session_in_both_styles(
    state: State, start_broker, tmp_path: Path, style: str
) -> None:
    state.run("config", "set", "acl.style", style)
    one, two = (unpack(found, tmp_path) for found in state.register("press-1", "press-2"))
    broker = start_broker(state)
    pid_file = tmp_path / "mosquitto.pid"
    pid_file.write_text(f"{broker._process.pid}\n")
    state.run("config", "set", "broker.reload", f"pid:{pid_file}")
    with connected(broker, one, two) as [revoked, other]:
        for client in (revoked, other):
            client.subscribe("devices/press-1/#", "devices/press-2/#")
        revoked.publish("devices/press-1/x", "alive")
        assert revoked.received() == [("devices/press-1/x", "alive")]
        done = state.run("revoke", "press-1", "--reload")
        assert "has read its files" in done.stderr
        revoked.publish("devices/press-1/x", "still talking")
        other.publish("devices/press-2/x", "works on")
        assert revoked.received() == []
        assert other.received() == [("devices/press-2/x", "works on")]
    assert connect_answer(broker, one).startswith("refused")


def test_reload_says_when_nothing_is_configured_or_nobody_runs(state: State, tmp_path: Path) -> None:
    state.run("sync-acl", "--reload", expect=8)
    assert "--check writes nothing" in state.run("sync-acl", "--check", "--reload", expect=2).stderr
    state.run("sync-acl", "--reload", env={"IOTONBOARD_BROKER_RELOAD": f"pid:{tmp_path}/none"}, expect=8)
    state.run("sync-acl", "--reload", env={"IOTONBOARD_BROKER_RELOAD": "systemd:a b"}, expect=6)
    state.run("config", "set", "broker.reload", "command:false")
    failed = state.run("sync-acl", "--json", "--reload", expect=8)
    assert failed.json["command"] == "sync-acl"  # what was done is answered, whatever became of the reload
