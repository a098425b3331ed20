"""A clock that cannot be right stops what signs but for revocations, and nothing else."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from support.clock import fake_time
from support.program import Result, State, make_state
from support.tools import run_tool

# What the clock says; the last event is now.
WRONG = {
    "1970": "@1970-01-02 00:00:00",
    "a year back": "-365d",
    "two hours back": "-7200s",
    "30 years ahead": "+30y",
    "after 2038": "@2038-01-20 00:00:00",
    "2049": "@2049-12-31 23:59:50",
    "2050": "@2050-01-01 00:00:01",
}
SIGNING = {
    "register": ("register", "x"),
    "reissue": ("register", "a", "--if-exists", "reissue"),
    "gen-crl": ("gen-crl",),
    "broker issue": ("broker", "issue", "broker.test"),
    "renew": ("renew", "a"),
    "ca rollover": ("ca", "rollover", "begin"),
    "pack": ("pack", "--out", "a.package"),
}
SECOND = timedelta(seconds=1)


def _at(state: State, moment: str, *words: str, zone: str = "UTC") -> Result:
    return state.run(*words, env={**fake_time(moment), "TZ": zone}, expect=None)


@pytest.fixture(scope="module")
def one_device(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    state = pristine.copy_to(tmp_path_factory.mktemp("one"))
    state.register("a")
    return state


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_clock_stops_every_signature_but_a_revocation_s(one_device: State, tmp_path: Path, name: str) -> None:
    state = one_device.copy_to(tmp_path)
    before = (state.crl.read_bytes(), len(state.run("list", "--json").json_lines))
    for words in SIGNING.values():
        result = _at(state, WRONG[name], *words)
        assert result.exit_code == 6, result
        assert "Traceback" not in result.stderr
    assert (state.crl.read_bytes(), len(state.run("list", "--json").json_lines)) == before
    assert [path.name for path in state.certs.glob("*.key")] == ["ca.key"]
    (last,) = _lists(state)
    revoked = _at(state, WRONG[name], "revoke", "a", "--json")
    assert revoked.exit_code == 0, revoked
    assert (revoked.json["crl_number"], len(revoked.json["serials"])) == (2, 1)
    assert "only revocations are signed" in revoked.stderr
    (continued,) = _lists(state)
    assert continued.last_update_utc == last.last_update_utc + SECOND
    assert continued.next_update_utc == last.next_update_utc
    _check_dates([continued])
    assert "user a\n" not in state.acl.read_text()
    assert _at(state, WRONG[name], "gen-crl").exit_code == 6  # what was recorded did not become the measure
    assert state.json("gen-crl")["revoked"] == 1
    _check_dates(_lists(state))


def _lists(state: State) -> list[x509.CertificateRevocationList]:
    blocks = state.crl.read_bytes().split(b"-----BEGIN")[1:]
    return [x509.load_pem_x509_crl(b"-----BEGIN" + block) for block in blocks]


def _check_dates(lists: list[x509.CertificateRevocationList]) -> None:
    """An entry that was dated later than its list would not count for a verifier whose clock is behind."""
    for one in lists:
        for entry in one:
            assert entry.revocation_date_utc <= one.last_update_utc


def test_every_list_of_a_calendar_is_continued(one_device: State, tmp_path: Path) -> None:
    """A broker moves along the calendar: a list of the old one that were left in it would bring the device back."""
    state = one_device.copy_to(tmp_path)
    state.register("b")
    state.run("gen-crl", "--calendar", "3", "--every", "7")
    before = _lists(state)
    for count, device_id in enumerate("ab", start=1):
        answer = _at(state, "+30y", "revoke", device_id, "--json").json
        assert answer["crl_number"] == 2 + 3 * count
        lists = _lists(state)
        assert [one.last_update_utc - count * SECOND for one in lists] == [one.last_update_utc for one in before]
        assert [one.next_update_utc for one in lists] == [one.next_update_utc for one in before]
        assert {len(one) for one in lists} == {count}
        _check_dates(lists)
    state.run("gen-crl")  # by the right clock, each list is newer than the one that it replaces
    assert all(new.last_update_utc > old.last_update_utc for new, old in zip(_lists(state), lists, strict=True))


def test_what_a_wrong_clock_calls_expired_is_revoked(pristine: State, tmp_path: Path) -> None:
    """The last event may be what the wrong clock said: the one that was set right is the one that is disputed."""
    state = pristine.copy_to(tmp_path)
    state.register("a", "--validity-days", "100")
    assert _at(state, "+3y", "accept-clock").exit_code == 0  # by mistake; the device has expired by it
    assert _at(state, "+3y", "gen-crl").exit_code == 0
    assert state.json("show", "a")["status"] == "expired"
    answer = state.json("revoke", "a")
    assert (len(answer["serials"]), answer["crl_number"]) == (1, 3)
    assert [len(one) for one in _lists(state)] == [1]
    assert "user a\n" not in state.acl.read_text()
    assert _at(state, "+9y", "retire", "a", "--json").json["changed"] is True


def test_an_hour_later_entries_are_no_younger_than_their_list(one_device: State, tmp_path: Path) -> None:
    """Whatever lies between recording and signing: another list, a setting, a renewal's overlap."""
    state = one_device.copy_to(tmp_path)
    state.register("b", "c")
    date = state.json("revoke", "a", "--defer")["revocation_date"]
    state.run("config", "set", "not_before_skew_minutes", "1440")
    state.run("gen-crl")
    _check_dates(_lists(state))
    state.run("revoke", "b", "--reason", "certificateHold")
    state.run("revoke", "b", "--reason", "superseded")
    state.run("renew", "c", "--revoke-old", "now")
    _check_dates(_lists(state))
    assert [len(one) for one in _lists(state)] == [3]
    assert state.json("revoke", "a", "--reason", "keyCompromise")["revocation_date"] == date  # once listed, it stays
    _check_dates(_lists(state))


def test_going_on_deliberately(one_device: State, tmp_path: Path) -> None:
    state = one_device.copy_to(tmp_path)
    assert "accept-clock" in _at(state, "+3y", "gen-crl").stderr
    without_key = _at(State(state.path, tmp_path / "none"), "+3y", "accept-clock")
    assert (without_key.exit_code, _at(state, "+3y", "gen-crl").exit_code) == (7, 6)
    assert _at(state, "+3y", "accept-clock").exit_code == 0
    assert _at(state, "+3y", "audit", "verify").exit_code == 0
    assert _at(state, "+3y", "gen-crl").exit_code == 0


def test_going_back_from_a_clock_that_was_believed(one_device: State, tmp_path: Path) -> None:
    """Its list lies in the future, and its entry is dated there: both are made anew, and nothing waits for years."""
    state = one_device.copy_to(tmp_path)
    assert _at(state, "+300d", "revoke", "a").exit_code == 0
    ahead = _lists(state)[0].last_update_utc
    state.run("accept-clock")
    answer = state.json("gen-crl")
    assert (answer["crl_number"], answer["revoked"]) == (3, 1)
    (now,) = _lists(state)
    assert now.last_update_utc < ahead
    _check_dates([now])
    state.register("later")
    assert state.run("health", "--deep").exit_code == 0


def test_nothing_is_purged_by_a_wrong_clock_nor_within_a_day_after_it(one_device: State, tmp_path: Path) -> None:
    state = one_device.copy_to(tmp_path)
    state.run("config", "set", "keep_keys", "days:30")
    bundle = state.device("a") / "creds.zip"
    for words in (("gen-crl",), ("purge",), ("purge", "--older-than", "30"), ("purge", "a", "--older-than", "30")):
        _at(state, "+500d", *words)
        assert bundle.exists(), words
    assert _at(state, "+500d", "accept-clock").exit_code == 0
    assert _at(state, "+500d", "gen-crl").exit_code == 0
    assert bundle.exists()
    assert _at(state, "+502d", "gen-crl").exit_code == 0
    assert not bundle.exists()


@pytest.mark.parametrize("moment", ["-400d", "-1m", "+4000d"])
def test_what_is_named_is_purged_whatever_the_clock_says(one_device: State, tmp_path: Path, moment: str) -> None:
    """It said that nothing was left, since all was younger than a clock that is behind."""
    state = one_device.copy_to(tmp_path)
    assert _at(state, moment, "purge", "a").stdout == "a\t1 purged\n"
    assert not (state.device("a") / "creds.zip").exists()
    assert _at(state, moment, "purge", "a").stdout == "a\tnothing left to purge\n"
    state.register("b")
    assert state.run("purge", "b", "--older-than", "30").stdout == "b\t0 purged, 1 younger: kept\n"
    assert len(state.json("purge", "b", "--older-than", "30")["kept"]) == 1


def test_a_dispute_that_ended_by_itself_counts_as_long(one_device: State, tmp_path: Path) -> None:
    state = one_device.copy_to(tmp_path)
    state.run("config", "set", "keep_keys", "days:30")
    bundle = state.device("a") / "creds.zip"
    assert _at(state, "+500d", "list").exit_code == 0  # a battery that was empty; whatever command sees it
    assert _at(state, "+40d", "gen-crl").exit_code == 0
    assert bundle.exists()
    assert _at(state, "+42d", "gen-crl").exit_code == 0
    assert not bundle.exists()


# Ten seconds before the change and ten seconds after it, as the wall clock of that zone shows them.
CHANGES = {
    "spring": ("@2027-03-28 01:59:50", "@2027-03-28 03:00:10"),
    "autumn": ("@2027-10-31 01:59:50", "@2027-10-31 03:00:10"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_daylight_saving_stops_nothing(one_device: State, tmp_path: Path, name: str) -> None:
    state = one_device.copy_to(tmp_path)
    for moment in CHANGES[name]:
        result = _at(state, moment, "gen-crl", zone="Europe/Berlin")
        assert result.exit_code == 0, result


def test_validities_past_2050_verify_with_openssl(tmp_path: Path) -> None:
    """UTCTime through 2049, GeneralizedTime from 2050 on (RFC 5280 4.1.2.5)."""
    state = make_state(tmp_path, "--validity-days", "20000")
    state.register("far", "--validity-days", "15000")
    device = state.device("far") / "device.crt"
    run_tool("openssl", "verify", "-CAfile", state.ca_cert, device)
    for path in (state.ca_cert, device):
        assert "GENERALIZEDTIME" in run_tool("openssl", "asn1parse", "-in", path).stdout


def test_certificates_for_machines_that_wake_up_in_1970(tmp_path: Path) -> None:
    """The clock's tolerance stays what it is: these are other machines' clocks."""
    state = make_state(tmp_path, "--not-before", "1970-01-01")
    state.run("config", "set", "not_before", "1970-01-01")
    device = state.register("sleeper")[0]
    assert device["not_before"] == "1970-01-01T00:00:00Z"
    state.run("broker", "issue", "broker.test")
    state.run("renew", "sleeper")
    at_dawn = ("-attime", "60", "-CAfile", state.ca_cert)
    run_tool("openssl", "verify", *at_dawn, state.ca_cert, state.device("sleeper") / "device.crt")
    run_tool("openssl", "verify", *at_dawn, state.certs / "brokers" / "broker.test" / "broker.crt")
    state.run("ca", "rollover", "begin")
    state.run("renew", "sleeper")
    run_tool("openssl", "verify", *at_dawn, state.device("sleeper") / "device.crt")
    assert "lacks the key" not in state.run("backup", tmp_path / "backup.zip").stdout + state.run("health").stdout
    assert _lists(state)[0].last_update_utc.year > 2000  # a list of then would be an old one
    assert _at(state, "-2h", "register", "x").exit_code == 6


def test_a_certificate_is_not_backdated_past_its_ca(one_device: State, tmp_path: Path) -> None:
    state = one_device.copy_to(tmp_path)
    ca = x509.load_pem_x509_certificate(state.ca_cert.read_bytes())
    (device,) = state.register("b", env={"IOTONBOARD_NOT_BEFORE": "1980-01-01"})
    assert device["not_before"] == ca.not_valid_before_utc.isoformat().replace("+00:00", "Z")
    for text in ("1969-12-31", "yesterday", "1970-13-01"):
        assert "1970-01-01" in state.run("config", "set", "not_before", text, expect=6).stderr
        new = State(tmp_path / "new", tmp_path / "none")
        assert "1970-01-01" in new.run("init-ca", "--not-before", text, expect=6).stderr
    assert "not be valid before" in new.run("init-ca", "--not-before", "2999-01-01", expect=6).stderr
    assert not new.path.exists()


@pytest.mark.parametrize("name", ["1970", "30 years ahead"])
def test_a_measure_that_somebody_took_away_is_not_what_a_wrong_clock_says(
    one_device: State, tmp_path: Path, name: str
) -> None:
    """Then the clock is held against the newest row of the trail; the rows that it dates itself are no measure."""
    state = one_device.copy_to(tmp_path)
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as database, database:
        database.execute("DELETE FROM meta WHERE key = 'last_event'")
    assert "only revocations are signed" in _at(state, WRONG[name], "revoke", "a").stderr
    assert _at(state, WRONG[name], "gen-crl").exit_code == 6
    state.register("b")
    assert state.json("gen-crl")["revoked"] == 1
