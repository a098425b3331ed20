"""A CRL that brokers fetch: certificates say where, and a second list says so too; Mosquitto's stays as it was."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509

from support.program import State
from support.tools import need, run_linter, run_tool

URL = "http://crl.plant.example:8080/lists/crl.der"


@pytest.fixture
def fetching(state: State) -> State:
    state.run("config", "set", "crl_url", URL)
    state.run("gen-crl")
    state.register("press-1", "press-2")
    return state


def fetched(state: State) -> x509.CertificateRevocationList:
    """The list in DER; the one in PEM holds the same."""
    der = (state.certs / "crl-idp.der").read_bytes()
    pem = x509.load_pem_x509_crl((state.certs / "crl-idp.pem").read_bytes())
    found = x509.load_der_x509_crl(der)
    assert pem == found
    return found


def test_the_list_that_is_fetched_says_what_the_other_one_says(fetching: State) -> None:
    fetching.run("revoke", "press-2")
    found, other = fetched(fetching), x509.load_pem_x509_crl(fetching.crl.read_bytes())
    point = found.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
    assert point.critical
    assert [name.value for name in point.value.full_name or ()] == [URL]
    assert not point.value.only_contains_user_certs
    assert [one.serial_number for one in found] == [one.serial_number for one in other]
    assert len(found) == 1
    number = x509.CRLNumber
    assert found.extensions.get_extension_for_class(number) == other.extensions.get_extension_for_class(number)
    assert {one.oid for one in other.extensions} == {one.oid for one in found.extensions} - {point.oid}
    assert fetching.json("health", "--deep")["status"] == "ok"


@pytest.mark.parametrize("profile", ["mqtt", "idevid"])
def test_certificates_say_where_with_the_setting_and_not_without(state: State, profile: str) -> None:
    words = ("--profile", profile, "--set", "hardware_type=1.3.6.1.4.1.99999.1")
    state.run("register", "press-1", *words)
    state.run("config", "set", "crl_url", URL)
    state.run("register", "press-2", *words)
    without, found = (
        x509.load_pem_x509_certificate((state.device(name) / "device.crt").read_bytes())
        for name in ("press-1", "press-2")
    )
    oid = x509.CRLDistributionPoints.oid
    assert oid not in [one.oid for one in without.extensions]
    point = found.extensions.get_extension_for_class(x509.CRLDistributionPoints)
    assert not point.critical
    (only,) = point.value
    assert [name.value for name in only.full_name or ()] == [URL]
    assert only.reasons is None
    assert only.crl_issuer is None


def test_openssl_takes_the_devices_by_either_list(fetching: State, tmp_path: Path) -> None:
    fetching.run("revoke", "press-2")
    for name in ("crl.pem", "crl-idp.pem"):
        (tmp_path / "trust.pem").write_bytes(fetching.ca_cert.read_bytes() + (fetching.certs / name).read_bytes())
        for device, accepted in (("press-1", True), ("press-2", False)):
            crt = fetching.device(device) / "device.crt"
            words = ("verify", "-crl_check", "-CAfile", tmp_path / "trust.pem", crt)
            said = run_tool(need("openssl"), *words, expect=None)
            assert (said.returncode == 0) is accepted, said.stderr
    assert fetching.json("verify", "press-1")["status"] == "ok"


def test_no_linter_complains(fetching: State) -> None:
    fetching.run("revoke", "press-2")
    assert run_linter("lint_crl", "-t", "CRL", "-p", "PKIX", fetching.certs / "crl-idp.pem") == []
    assert run_linter("lint_pkix_cert", fetching.device("press-1") / "device.crt") == []


def test_the_files_follow_the_setting(fetching: State) -> None:
    files = [fetching.certs / "crl-idp.der", fetching.certs / "crl-idp.pem"]
    before = [path.read_bytes() for path in files]
    files[0].unlink()
    files[1].write_bytes(b"something else")
    assert [one["name"] for one in fetching.json("health", expect=9)["checks"] if one["status"] == "failed"] == ["crl"]
    fetching.run("sync-acl")
    assert [path.read_bytes() for path in files] == before
    fetching.run("config", "set", "crl_url", "")
    fetching.run("gen-crl")
    assert not any(path.exists() for path in files)
    assert fetching.json("health", "--deep")["status"] == "ok"


def test_a_list_that_somebody_put_into_the_database_is_not_published(fetching: State) -> None:
    old = (fetching.certs / "crl-idp.der").read_bytes()
    fetching.run("revoke", "press-2")
    with closing(sqlite3.connect(fetching.path / "devices.db")) as database, database:
        database.execute("UPDATE crl_idp SET der = ?", (old,))
    (fetching.certs / "crl-idp.der").unlink()
    fetching.run("sync-acl", expect=8)
    assert not (fetching.certs / "crl-idp.der").exists()
    assert [one["name"] for one in fetching.json("health", expect=9)["checks"] if one["status"] == "failed"] == ["crl"]
    fetching.run("gen-crl")
    assert len(fetched(fetching)) == 1


def test_a_calendar_and_a_rollover_have_their_lists(fetching: State) -> None:
    fetching.run("ca", "rollover", "begin")
    fetching.run("gen-crl", "--calendar", "2")
    blocks = (fetching.certs / "crl-idp.pem").read_bytes().split(b"-----BEGIN")[1:]
    lists = [x509.load_pem_x509_crl(b"-----BEGIN" + block) for block in blocks]
    assert len(lists) == len(fetching.crl.read_bytes().split(b"-----BEGIN")) - 1 == 4
    assert lists[0] == x509.load_der_x509_crl((fetching.certs / "crl-idp.der").read_bytes())
    assert fetching.json("health", "--deep")["status"] == "ok"


@pytest.mark.parametrize(
    "url",
    [
        "https://crl.plant.example/crl.der",
        "ftp://crl.plant.example/crl.der",
        "http://",
        "http:///crl.der",
        "http://crl.plant.example",
        "http://user@crl.plant.example/crl.der",
        "http://crl.plant.example:0/crl.der",
        "http://crl.plant.example:99999/crl.der",
        "http://crl..example/crl.der",
        "http://crl.plant.example/two words",
        "http://crl.plant.example/\u00e4",
        "http://crl.plant.example/" + "a" * 600,
        "ldap://ldap.plant.example",
        "ldap://ldap.plant.example/CN=CA",
    ],
)
def test_what_is_no_place_to_fetch_from_is_refused(state: State, url: str) -> None:
    before = state.snapshot()
    told = state.run("config", "set", "crl_url", url, expect=6).stderr
    assert "crl_url" in told
    assert state.snapshot() == before


def test_a_list_at_a_directory_is_named_too(state: State) -> None:
    state.run("config", "set", "crl_url", "ldap://ldap.plant.example/CN=CA,O=Works?certificateRevocationList;binary")
    state.run("config", "set", "crl_url", "http://[2001:db8::1]/crl.der")
    state.run("config", "set", "broker_acl_file", state.certs / "crl-idp.pem", expect=6)
    state.run("config", "set", "crl_url", URL, env={"IOTONBOARD_PASSPHRASE_FILE": None}, expect=7)
