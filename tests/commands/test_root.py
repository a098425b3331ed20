"""A root, and a CA that waits for one: what each does, and what it does not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cryptography import x509

from support.clock import fake_time
from support.program import State, make_state, run_cli
from support.stations import Works, make_station, names


def subject(state: State) -> str:
    return x509.load_pem_x509_certificate(state.ca_cert.read_bytes()).subject.rfc4514_string()


@pytest.fixture(scope="module")
def kept_root(tmp_path_factory: pytest.TempPathFactory) -> State:
    return make_state(tmp_path_factory.mktemp("root"), "--root", "--common-name", "Works Root")


@pytest.fixture
def root(kept_root: State, tmp_path: Path) -> State:
    (tmp_path / "root").mkdir()
    return kept_root.copy_to(tmp_path / "root")


def test_a_root_certifies_cas_and_its_list_lasts_for_more_than_a_year(root: State) -> None:
    certificate = x509.load_pem_x509_certificate(root.ca_cert.read_bytes())
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 1
    crl = x509.load_pem_x509_crl(root.crl.read_bytes())
    assert crl.next_update_utc is not None
    assert (crl.next_update_utc - crl.last_update_utc).days == 400
    assert root.json("config", "show")["settings"]["crl_next_update_days"]["value"] == 400
    root.run("config", "set", "crl_next_update_days", "200")
    root.run("gen-crl")
    crl = x509.load_pem_x509_crl(root.crl.read_bytes())
    assert (crl.next_update_utc - crl.last_update_utc).days == 200  # type: ignore[operator]
    root.run("health", "--deep")
    root.run("audit", "verify")


@pytest.mark.parametrize(
    "words",
    [
        "register press-1", "renew press-1", "revoke press-1", "retire press-1", "release press-1",
        "broker issue broker.test", "broker revoke broker.test", "deliver press-1", "confirm press-1",
        "export press-1 --format pem --out out", "purge press-1", "labels press-1 --out labels.pdf",
        "bundle password press-1", "topics add press-1 read:a", "verify press-1",
        "ca replace --compromised", "ca trust add ca.crt",
    ],
)  # fmt: skip
def test_a_root_refuses_what_is_about_devices_and_brokers(root: State, tmp_path: Path, words: str) -> None:
    before = root.snapshot()
    result = root.run(*words.split(), cwd=tmp_path, expect=6)
    assert "this is a root" in result.stderr
    assert "hint: " in result.stderr
    assert root.snapshot() == before


def test_a_ca_that_waits_for_its_root_goes_nowhere(tmp_path: Path) -> None:
    state = make_state(tmp_path, "--below-root")
    assert not state.ca_cert.exists()
    for words in ("register press-1", "broker issue broker.test"):
        result = state.run(*words.split(), expect=6)
        assert "waits for its root" in result.stderr
        assert "iotonboard ca request --out FILE" in result.stderr
    state.run("gen-crl")
    state.run("sync-acl")
    assert not state.ca_cert.exists()
    state.run("health", "--deep")
    (found,) = state.run("health", "--check", "ca-certificate", "--json").json["checks"]
    assert (found["status"], "waits for its root" in found["message"]) == ("warning", True)


def test_a_ca_without_a_chosen_name_has_one_that_no_other_has(tmp_path: Path) -> None:
    names = []
    for name in ("one", "two"):
        key = tmp_path / f"{name}.key"
        found = run_cli("init-ca", "--generate-key-file", key, "--json", state=tmp_path / name)
        names.append(json.loads(found.stdout)["name"])
        assert subject(State(tmp_path / name, key)) == f"CN={names[-1]}"
    assert names[0] != names[1]
    assert all(name.startswith("IoT Onboarding CA ") for name in names)
    root = make_state(tmp_path, "--root", "--common-name", "Works Root", "--organization", "Works")
    assert subject(root) == "CN=Works Root,O=Works"


def test_a_root_and_a_station_are_not_one(tmp_path: Path) -> None:
    result = run_cli("init-ca", "--root", "--below-root", state=tmp_path / "x", expect=2)
    assert "exclude each other" in result.stderr
    assert not (tmp_path / "x").exists()


def test_a_root_lives_as_every_state_does(root: State, tmp_path: Path) -> None:
    """Backup, restore, another passphrase, its successor: stations and their names stay known."""
    (tmp_path / "stick").mkdir()
    works = Works(root, tmp_path / "stick")
    station = make_station(tmp_path / "station", "Station 7")
    works.certify(station)
    root.run("backup", tmp_path / "root.zip")
    restored = State(tmp_path / "restored", root.passphrase_file)
    restored.run("restore", tmp_path / "root.zip", "--crl", root.crl)
    restored.run("gen-crl")
    restored.run("health", "--deep")
    assert restored.json("ca", "status")["tree"][0]["below"][0]["name"] == "Station 7"
    restored.run("register", "press-1", expect=6)
    new = tmp_path / "new-key"
    restored.run("ca", "passwd", "--generate-key-file", new)
    restored = State(restored.path, new)
    later = Works(restored, tmp_path / "stick")
    later.certify(station)
    restored.run("ca", "revoke", "Station 7", "--reason", "superseded")
    restored.run("audit", "verify")


def test_an_older_copy_of_a_root_does_not_certify_what_it_forgot(root: State, tmp_path: Path) -> None:
    (tmp_path / "stick").mkdir()
    works = Works(root, tmp_path / "stick")
    station = make_station(tmp_path / "station", "Station 7")
    works.certify(station)
    (tmp_path / "older").mkdir()
    older = root.copy_to(tmp_path / "older")
    works.certify(station)
    request = works.request(station)
    result = older.run("ca", "sign", request, "--out", tmp_path / "answer", expect=4)
    assert "an answer that is not known here" in result.stderr
    assert "older backup" in result.stderr
    assert not (tmp_path / "answer").exists()


def test_a_root_from_an_older_backup_knows_from_the_list_whom_it_took_back(root: State, tmp_path: Path) -> None:
    (tmp_path / "stick").mkdir()
    works, station = Works(root, tmp_path / "stick"), make_station(tmp_path / "station", "Station 7")
    works.certify(station)
    request = works.request(station)
    root.run("backup", tmp_path / "root.zip")
    root.run("ca", "revoke", "Station 7", "--reason", "keyCompromise")
    restored = State(tmp_path / "restored", root.passphrase_file)
    restored.run("restore", tmp_path / "root.zip", "--crl", root.crl)
    (below,) = restored.json("ca", "status")["tree"][0]["below"]
    assert (below["status"], below["reason"]) == ("revoked", "keyCompromise")
    assert "was revoked" in restored.run("ca", "sign", request, "--out", tmp_path / "answer", expect=6).stderr
    restored.run("health", "--deep")


def test_a_root_whose_clock_is_far_ahead_says_so_and_not_that_its_list_ended(root: State, tmp_path: Path) -> None:
    (tmp_path / "stick").mkdir()
    works, station = Works(root, tmp_path / "stick"), make_station(tmp_path / "station", "Station 7")
    request, out = works.request(station), tmp_path / "answer"
    told = root.run("ca", "sign", request, "--out", out, "--passphrase-file", "no", env=fake_time("+1000d"), expect=6)
    assert "error: the clock says" in told.stderr
    assert not out.exists()
    told = root.run("ca", "sign", request, "--out", out, env=fake_time("+500d"), expect=6)
    assert "the list of this root has ended" in told.stderr


def test_what_is_said_at_a_root_is_of_stations_and_of_no_device_or_broker(root: State, tmp_path: Path) -> None:
    root.run("ca", "rollover", "begin")
    said = root.run("ca", "rollover", "--cancel").stderr
    root.run("backup", tmp_path / "b.zip")
    words = ("restore", tmp_path / "b.zip", "--state", tmp_path / "again", "--crl", root.crl)
    said += root.run(*words).stderr + root.run("restore", "--crl", root.crl).stderr
    assert said.count("to every station") == 3
    assert not {"device", "broker", "brokers", "ACL", "pack"} & set(re.findall(r"\w+", said)), said


def test_a_root_s_successor_is_a_root_and_the_old_one_stays_while_stations_need_it(root: State, tmp_path: Path) -> None:
    (tmp_path / "stick").mkdir()
    works = Works(root, tmp_path / "stick")
    station = make_station(tmp_path / "station", "Station 7")
    works.certify(station)
    begun = root.run("ca", "rollover", "begin").stderr
    assert "next: at each station iotonboard ca request" in begun
    assert "renew --old-ca" not in begun
    new, old = x509.load_pem_x509_certificates(root.ca_cert.read_bytes())
    assert [one.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length for one in (new, old)] == [
        1,
        1,
    ]
    refused = root.run("ca", "rollover", "--retire", expect=4)
    assert "Station 7" in refused.stderr
    answer = works.sign(works.request(station))
    assert names(answer) == ["CN=Station 7", "CN=Works Root G2"]
    result = station.run("ca", "install", answer, expect=2)
    assert "is a new one" in result.stderr
    fingerprint_of_new = root.json("ca", "status")["ca_fingerprint"]
    station.run("ca", "install", answer, "--fingerprint", fingerprint_of_new)
    assert names(station.ca_cert)[:1] == ["CN=Works Root G2"]
    root.run("ca", "rollover", "--cancel", expect=4)
    root.run("ca", "rollover", "--retire")
    root.run("health", "--deep")
    assert [one["name"] for one in root.json("ca", "status")["tree"]] == ["Works Root G2"]
