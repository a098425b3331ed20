"""``ca trust``: what is taken in, what is refused and why, and who watches it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from support.clock import fake_time
from support.invariants import check_invariants, read_crls
from support.old_fleet import OldFleet
from support.program import State, make_state

_NO_PASSPHRASE = {"IOTONBOARD_PASSPHRASE_FILE": None}


@pytest.fixture
def old(tmp_path: Path) -> OldFleet:
    return OldFleet(tmp_path / "old")


@pytest.fixture
def trusting(state: State, old: OldFleet) -> State:
    state.run("ca", "trust", "add", old.ca, "--crl", old.crl(5))
    return state


def edit(state: State, statement: str) -> None:
    with closing(sqlite3.connect(state.path / "devices.db")) as database, database:
        database.execute(statement)


def first_end(state: State) -> int:
    """When the first fleet of others is locked out, as every command can see it at once."""
    with closing(sqlite3.connect(state.path / "devices.db")) as database:
        return int(database.execute("SELECT value FROM meta WHERE key = 'trust_ends'").fetchone()[0])


def count(state: State) -> tuple[int, int]:
    """How many CAs and lists are published."""
    return len(x509.load_pem_x509_certificates(state.ca_cert.read_bytes())), len(read_crls(state.crl))


# -- taking in and out -----------------------------------------------------------------------------------------------


def test_add_list_and_remove(state: State, old: OldFleet) -> None:
    acl = state.acl.read_bytes()
    answer = state.json("ca", "trust", "add", old.ca, "--crl", old.crl(5))
    assert answer["changed"] == [old.fingerprint]
    (ca,) = answer["cas"]
    assert (ca["name"], ca["ca_fingerprint"], ca["published"]) == ("Old Plant CA", old.fingerprint, True)
    assert [one["crl_number"] for one in ca["crls"]] == [5]
    assert first_end(state) == datetime.fromisoformat(ca["crls"][0]["next_update"]).timestamp()
    assert count(state) == (2, 2)
    before = state.snapshot()
    again = state.json("ca", "trust", "add", old.ca, "--crl", old.folder / "crl-5.pem", env=_NO_PASSPHRASE)
    assert again == {**answer, "changed": []}
    assert state.json("ca", "trust", "list", env=_NO_PASSPHRASE)["cas"] == [ca]
    assert state.snapshot() == before
    assert state.json("ca", "trust", "remove", old.fingerprint[:8].upper(), env=_NO_PASSPHRASE)["cas"] == []
    assert (first_end(state), count(state)) == (0, (1, 1))
    assert "no CA that is trusted" in state.run("ca", "trust", "remove", old.ca, expect=5).stderr
    assert state.acl.read_bytes() == acl
    state.run("ca", "trust", "add", old.ca, "--crl", old.crl(6))
    assert count(state) == (2, 2)
    check_invariants(state, with_openssl=True)
    shown = [row["detail"] for row in state.run("audit", "show", "--subject", "trust", "--json").json_lines]
    assert ["distrusted" in detail for detail in shown] == [False, True, False]
    assert shown[2]["trusted"] == old.fingerprint
    assert shown[2]["crls"][0]["number"] == "6"
    assert state.run("health", "--deep").exit_code == 0


def test_what_says_how_it_goes_on(state: State, old: OldFleet) -> None:
    said = state.run("ca", "trust", "add", old.ca, "--crl", old.crl(5)).stderr
    assert "reload the broker" in said
    assert "iotonboard pack" in said
    assert "no file is named" in state.run("ca", "trust", "add", expect=2).stderr
    assert "--crl" in state.run("ca", "trust", "add", "--help").stdout


def test_our_own_parts_of_files_put_together_by_hand_are_passed_over(state: State, old: OldFleet) -> None:
    assert "this state's own CA" in state.run("ca", "trust", "add", state.ca_cert, expect=4).stderr
    cas, crls = old.folder / "both.crt", old.folder / "both.pem"
    cas.write_bytes(state.ca_cert.read_bytes() + old.ca.read_bytes())
    crls.write_bytes(state.crl.read_bytes() + old.crl(5).read_bytes())
    state.run("ca", "trust", "add", cas, "--crl", crls)
    assert count(state) == (2, 2)


def test_every_form_of_file(state: State, old: OldFleet) -> None:
    ca, crl = old.folder / "ca.der", old.folder / "crl.der"
    ca.write_bytes(old.certificate.public_bytes(Encoding.DER))
    crl.write_bytes(x509.load_pem_x509_crl(old.crl(5).read_bytes()).public_bytes(Encoding.DER))
    state.run("ca", "trust", "add", ca, "--crl", crl)
    assert count(state) == (2, 2)


def test_a_calendar_of_another_state(state: State, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = make_state(tmp_path / "other", "--common-name", "Theirs")
    other.run("gen-crl", "--calendar", "3", "--every", "7")
    state.run("ca", "trust", "add", other.ca_cert, "--crl", other.crl)
    assert count(state) == (2, 4)
    other.run("gen-crl")
    state.run("ca", "trust", "add", "--crl", other.crl)
    assert count(state) == (2, 4)


def test_two_levels_go_together(state: State, tmp_path: Path) -> None:
    root = OldFleet(tmp_path / "root", "Root")
    one, two = (OldFleet(tmp_path / name, name, above=root) for name in ("one", "two"))
    for station in (one, two):
        state.run("ca", "trust", "add", station.ca, "--crl", station.crl(1))
    assert count(state) == (4, 3)
    state.run("ca", "trust", "remove", one.fingerprint)
    assert count(state) == (3, 2)
    state.run("ca", "trust", "remove", root.fingerprint)
    assert count(state) == (1, 1)


# -- what is refused -------------------------------------------------------------------------------------------------

Make = Callable[[Path], tuple[Path, Path | None]]


def _with(crl: Callable[[OldFleet], Path | None], **options: object) -> Make:
    def make(folder: Path) -> tuple[Path, Path | None]:
        fleet = OldFleet(folder / "bad", **options)
        return fleet.ca, crl(fleet)

    return make


def _crl(fleet: OldFleet) -> Path:
    return fleet.crl(5)


def _intermediate_alone(folder: Path) -> tuple[Path, Path]:
    fleet = OldFleet(folder / "bad", above=OldFleet(folder / "root", "Root"))
    fleet.ca.write_bytes(fleet.certificate.public_bytes(Encoding.PEM))
    return fleet.ca, fleet.crl(5)


def _list_of_another(folder: Path) -> tuple[Path, Path]:
    return OldFleet(folder / "bad").ca, OldFleet(folder / "third").crl(5)


def _point() -> x509.IssuingDistributionPoint:
    url = x509.UniformResourceIdentifier("http://crl.example/x")
    return x509.IssuingDistributionPoint([url], None, False, False, None, False, False)


REFUSED: dict[str, tuple[Make, str]] = {
    "no CRL": (_with(lambda _: None), "there is no CRL of"),
    "ended": (_with(lambda fleet: fleet.crl(5, begin=-timedelta(days=9), days=3)), "ended on"),
    "begins tomorrow": (_with(lambda fleet: fleet.crl(5, begin=timedelta(days=1))), "begins at"),
    "of another CA": (_list_of_another, "of none of these CAs"),
    "same name, another key": (_list_of_another, "signature is wrong"),
    "not a CA": (_with(_crl, is_ca=False), "not a CA"),
    "no basicConstraints": (_with(_crl, is_ca=None), "not a CA"),
    "no keyCertSign": (_with(_crl, usage=("crl_sign",)), "keyCertSign"),
    "no cRLSign": (_with(_crl, usage=("key_cert_sign",)), "cRLSign"),
    "for servers": (_with(_crl, eku=(ExtendedKeyUsageOID.SERVER_AUTH,)), "excludes clients"),
    "expired": (_with(_crl, begin=-timedelta(days=9), days=3), "is valid from"),
    "not yet valid": (_with(_crl, begin=timedelta(days=2)), "is valid from"),
    "no root": (_intermediate_alone, "the CA above"),
    "delta": (_with(lambda fleet: fleet.crl(5, more=x509.DeltaCRLIndicator(3))), "delta"),
    "one point's": (_with(lambda fleet: fleet.crl(5, more=_point())), "distribution point"),
    "our name, no key ids": (_with(_crl, name="IoT Onboarding CA", key_id=False), "no key id tells them apart"),
    "our name in capitals": (_with(_crl, name="IOT  onboarding CA", key_id=False), "no key id tells them apart"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_lock_a_fleet_out_is_refused(state: State, tmp_path: Path, name: str) -> None:
    """Before a passphrase is asked for, and nothing is changed."""
    make, why = REFUSED[name]
    ca, crl = make(tmp_path)
    before = state.snapshot()
    words = ("--crl", crl) if crl else ()
    said = state.run("ca", "trust", "add", ca, *words, env=_NO_PASSPHRASE, expect=6).stderr
    assert why in said
    assert "hint:" in said
    assert state.snapshot() == before


def test_no_ca_of_ours_in_another_coat(state: State, tmp_path: Path) -> None:
    state.run("ca", "rollover", "begin")
    state.run("ca", "rollover", "--retire")
    retired = tmp_path / "retired.crt"
    with closing(sqlite3.connect(state.path / "devices.db")) as database:
        (der,) = database.execute("SELECT der FROM issuer WHERE retired_at IS NOT NULL").fetchone()
    retired.write_bytes(der)
    assert "was retired here" in state.run("ca", "trust", "add", retired, expect=4).stderr


@pytest.mark.parametrize(
    ("number", "begin"),
    [(4, timedelta(minutes=-1)), (5, timedelta(minutes=-1)), (6, timedelta(hours=-2)), (5, timedelta(hours=-2))],
)
def test_a_list_is_never_replaced_by_an_older_one(
    trusting: State, old: OldFleet, number: int, begin: timedelta
) -> None:
    """Neither by number nor by time; nor by another one of the same number."""
    before = trusting.snapshot()
    crl = old.crl(number, begin=begin, path="other.pem")
    said = trusting.run("ca", "trust", "add", "--crl", crl, expect=4).stderr
    assert "is not newer" in said
    assert f"iotonboard ca trust remove {old.fingerprint[:16]}" in said
    assert trusting.snapshot() == before


# -- who watches -----------------------------------------------------------------------------------------------------


def test_the_end_of_a_list_is_told_in_time(trusting: State, old: OldFleet) -> None:
    def told(day: str) -> str:
        answer = trusting.json("health", "--check", "trust", "--json", env=fake_time(day), expect=(0, 9))
        return str(answer["checks"][0]["status"])

    assert "ended on" not in trusting.run("list", env=fake_time("+25d")).stderr
    assert [told(day) for day in ("+1d", "+25d", "+31d")] == ["ok", "warning", "failed"]
    due = trusting.run("expiring", "--json", env=fake_time("+31d"), expect=9)
    (item,) = [one for one in due.json_lines if one["name"] == "CRL 5 of Old Plant CA"]
    assert item["kind"] == "crl"
    assert "iotonboard ca trust add --crl FILE" in trusting.run("expiring", env=fake_time("+31d"), expect=9).stderr
    report = trusting.json("report")
    assert [one["is_of_others"] for one in report["crls"]] == [False, True]
    assert trusting.run("gen-crl", env=fake_time("+31d")).exit_code == 0
    assert count(trusting) == (2, 2)
    line = "warning: a list of a CA of others ended on"
    assert line in trusting.run("list", env=fake_time("+31d")).stderr
    trusting.run("ca", "trust", "remove", old.ca)
    assert line not in trusting.run("list", env=fake_time("+31d")).stderr


EDITS = {
    "a CA of somebody else": "UPDATE trusted_ca SET signature = zeroblob(70)",
    "another list": "UPDATE trusted_crl SET sha256 = zeroblob(32)",
    "octets of a list": "UPDATE trusted_crl SET der = x'3000'",
    "no list": "DELETE FROM trusted_crl",
    "a CA that was taken out": "UPDATE trusted_ca SET removed_at = NULL",
}


@pytest.mark.parametrize("name", EDITS)
def test_what_our_ca_did_not_sign_is_not_published(trusting: State, old: OldFleet, name: str) -> None:
    if "taken out" in name:
        trusting.run("ca", "trust", "remove", old.fingerprint)
    edit(trusting, EDITS[name])
    edit(trusting, "UPDATE meta SET value = 99 WHERE key = 'trust_changes'")
    trusting.run("gen-crl")
    assert count(trusting) == (1, 1)
    found = trusting.json("health", "--check", "trust", expect=9)["checks"][0]
    assert "our CA did not sign that" in found["message"]
    assert "trust" in trusting.run("health", "--deep", expect=9).stdout
    if "taken out" not in name:
        trusting.run("ca", "trust", "add", old.ca, "--crl", old.crl(6))
        assert count(trusting) == (2, 2)
        assert trusting.run("health", "--check", "trust").exit_code == 0


def test_it_outlives_our_own_rollover_and_the_theft_of_our_key(trusting: State) -> None:
    trusting.run("ca", "rollover", "begin")
    assert count(trusting) == (3, 3)
    trusting.run("ca", "rollover", "--retire")
    assert count(trusting) == (2, 2)
    trusting.run("ca", "replace", "--compromised")
    assert count(trusting) == (2, 2)
    assert trusting.json("ca", "trust", "list")["cas"][0]["published"]


def test_a_brokers_crl_file_brings_a_state_back(trusting: State, old: OldFleet, tmp_path: Path) -> None:
    """Theirs is in it too, newer than here, and says nothing of ours."""
    crl = tmp_path / "brokers.pem"
    crl.write_bytes(trusting.crl.read_bytes() + old.crl(None, path="newer.pem").read_bytes())
    trusting.run("restore", "--crl", crl)
    assert count(trusting) == (2, 2)
    trusting.run("backup", tmp_path / "backup.zip")
    restored = State(tmp_path / "restored", trusting.passphrase_file)
    restored.run("restore", tmp_path / "backup.zip", "--crl", crl)
    assert restored.json("ca", "trust", "list")["cas"] == trusting.json("ca", "trust", "list")["cas"]


def test_where_a_broker_here_reads_its_own_ca_file(trusting: State, old: OldFleet, tmp_path: Path) -> None:
    trusting.run("config", "set", "broker_ca_file", tmp_path / "ca.crt")
    trusting.run("sync-acl")
    assert len(x509.load_pem_x509_certificates((tmp_path / "ca.crt").read_bytes())) == 2
    trusting.run("ca", "trust", "remove", old.fingerprint)
    assert len(x509.load_pem_x509_certificates((tmp_path / "ca.crt").read_bytes())) == 1
