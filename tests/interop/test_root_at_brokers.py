"""A root of this program and its stations, as brokers and devices meet them: packages, rollovers, a stolen key."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

import pytest

from support.program import State
from support.site import Site
from support.stations import Works, make_station, make_works, names


@pytest.fixture
def works(tmp_path: Path) -> Works:
    return make_works(tmp_path)


@pytest.fixture
def station(works: Works, tmp_path: Path) -> State:
    state = make_station(tmp_path / "a", "Station A")
    works.certify(state)
    state.register("a-1")
    return state


@pytest.fixture
def site(station: State, works: Works, tmp_path: Path) -> Site:
    """A broker's machine that knows the root alone, with a package of the station."""
    (tmp_path / "site").mkdir()
    made = Site(station, tmp_path / "site")
    made.ca = works.root.ca_cert
    made.apply(made.pack("first"))
    return made


def subjects(path: Path) -> list[str]:
    return [name.removeprefix("CN=") for name in names(path)]


def of_root(site: Site, works: Works) -> Site:
    made = object.__new__(Site)
    made.__dict__ |= site.__dict__ | {"state": works.root}
    return made


def test_a_package_of_the_root_shuts_a_station_out(site: Site, works: Works, tmp_path: Path) -> None:
    other = make_station(tmp_path / "b", "Station B")
    works.certify(other)
    other.register("b-1")
    of_b = object.__new__(Site)
    of_b.__dict__ |= site.__dict__ | {"state": other}
    of_b.apply(of_b.pack("b"))
    site.pack("second")
    said = works.root.run("ca", "revoke", "Station A", "--reason", "keyCompromise", "--yes")
    assert "iotonboard pack" in said.stderr
    by_root = of_root(site, works)
    assert "a root has none" in works.root.run("pack", "--out", tmp_path / "one", "--format", "1", expect=6).stderr
    package = by_root.pack("root")
    answer = json.loads(by_root.apply(package, "--json"))
    assert answer["changed"] is True
    due = {one["name"] for one in works.root.run("expiring", "--within", "4000", "--json", expect=9).json_lines}
    assert {"Station B"} == {name for name in due if name.startswith("Station")}
    (check,) = works.root.run("health", "--check", "root", "--json").json["checks"]
    assert check["message"].startswith("1 stations, the first of which ends in ")
    assert answer["older"] == []
    assert len(answer["dropped"]) == 2
    assert subjects(site.dest / "ca.crt") == ["Works Root", "Station B"]
    assert "revoked by the CA above it" in site.refused(site.folder / "second")
    assert "revoked by the CA above it" in site.refused(site.folder / "first", "--accept-older")
    of_b.apply(of_b.pack("b-2"))
    assert subjects(site.dest / "ca.crt") == ["Works Root", "Station B"]
    assert json.loads(by_root.apply(package, "--json"))["changed"] is False
    assert len(site.revoked_by_name("Works Root")) == 1
    site.ca = site.state.ca_cert
    assert "revoked by the CA above it" in site.refused(site.pack("third"))


def test_a_broker_that_has_a_station_s_own_certificate_still_hears_the_root(works: Works, tmp_path: Path) -> None:
    station = make_station(tmp_path / "a", "Station A", "--key-type", "ec-p256")
    station.register("a-1")
    (tmp_path / "site").mkdir()
    site = Site(station, tmp_path / "site")
    site.apply(site.pack("first"))
    works.certify(station)
    works.root.run("ca", "revoke", "Station A", "--reason", "keyCompromise", "--yes")
    by_root = of_root(site, works)
    by_root.ca = works.root.ca_cert
    by_root.apply(by_root.pack("root"))
    assert subjects(site.dest / "ca.crt") == ["Works Root"]
    assert site.is_silent("a-1")
    assert "revoked by the CA above it" in site.refused(site.folder / "first")


def test_a_new_key_below_the_same_root(site: Site, works: Works, tmp_path: Path) -> None:
    """It waits for the root, and nothing of it goes out until then; the old CA's devices and packages go on."""
    station = site.state
    before = station.ca_cert.read_bytes()
    said = station.run("ca", "rollover", "begin", "--name", "Station A2")
    assert "next: iotonboard ca request --out FILE" in said.stderr
    assert station.ca_cert.read_bytes() == before
    for words in ("register a-2", "renew a-1", "broker issue localhost", "ca rollover --retire"):
        assert "waits for its root" in station.run(*words.split(), expect=6).stderr
    station.run("export", "a-1", "--format", "pem", "--out", tmp_path / "while-it-waits")
    assert subjects(tmp_path / "while-it-waits" / "ca.crt") == ["Works Root"]
    station.run("revoke", "a-1", "--reason", "certificateHold")
    site.apply(site.pack("waiting"))
    assert subjects(site.dest / "ca.crt") == ["Works Root", "Station A"]
    station.run("release", "a-1")
    works.certify(station)
    assert subjects(station.ca_cert) == ["Works Root", "Station A2", "Station A"]
    made = station.register("a-2")[0]
    assert json.loads(site.apply(site.pack("both"), "--json"))["forked"] == []
    assert subjects(site.dest / "ca.crt") == ["Works Root", "Station A2", "Station A"]
    assert not site.is_silent("a-1")
    assert not site.is_silent("a-2")
    station.run("renew", "a-1", "--revoke-old", "now")
    station.run("ca", "rollover", "--retire")
    answer = json.loads(site.apply(site.pack("retired"), "--json"))
    assert len(answer["dropped"]) == 2
    assert subjects(site.dest / "ca.crt") == ["Works Root", "Station A2"] == subjects(station.ca_cert)
    assert "older" in site.refused(site.folder / "both")
    assert station.run("verify", "a-1", made["device_id"], "--json").json["status"] in {"ok", "warning"}
    assert station.run("health", "--deep", "--json", expect=None).json["differences"] == []


def test_a_stolen_key_leaves_the_root_alone_until_the_next_answer(site: Site, works: Works) -> None:
    station = site.state
    said = station.run("ca", "replace", "--compromised", "--yes")
    assert "at the root: iotonboard ca revoke" in said.stderr
    assert subjects(station.ca_cert) == ["Works Root"]
    assert "waits for its root" in station.run("pack", "--out", site.folder / "no", expect=6).stderr
    (check,) = station.run("health", "--check", "ca-certificate", "--json").json["checks"]
    assert "waits for its root" in check["message"]
    works.root.run("ca", "revoke", "Station A", "--reason", "keyCompromise", "--yes")
    works.certify(station)
    assert subjects(station.ca_cert)[0] == "Works Root"
    assert "Station A" not in subjects(station.ca_cert)
    station.run("renew", "a-1")
    said = json.loads(site.apply(site.pack("new"), "--json"))
    assert len(said["dropped"]) >= 2
    assert "Station A" not in subjects(site.dest / "ca.crt")
    assert not site.is_silent("a-1")


def test_a_list_of_the_root_alone_goes_out_to_brokers(station: State, works: Works) -> None:
    before = station.crl.read_bytes()
    works.root.run("gen-crl")
    station.run("ca", "install", works.root.crl)
    lists = [before, station.crl.read_bytes()]
    assert [text.count(b"BEGIN X509 CRL") for text in lists] == [2, 2]
    assert works.root.crl.read_bytes().strip() in lists[1]
    assert station.run("health", "--deep", "--json", expect=None).json["differences"] == []


def test_brokers_get_their_chain_with_the_answer(works: Works, tmp_path: Path) -> None:
    """In the state, in the folder of one on this machine, and by a package for one whose key was made elsewhere."""
    station = make_station(tmp_path / "a", "Station A", "--key-type", "ec-p256")
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    for path in (folder, elsewhere):
        path.mkdir()
    user = getpass.getuser()
    station.run("broker", "issue", "near.test", "--for", folder, "--user", user)
    station.run("apply", "--prepare", elsewhere, "far.test", "--user", user)
    station.run("broker", "issue", "--csr", elsewhere / "broker.csr")
    assert subjects(folder / "broker.crt") == ["near.test"]
    works.certify(station)
    assert subjects(folder / "broker.crt") == ["near.test", "Station A"]
    assert subjects(folder / "ca.crt") == ["Works Root", "Station A"]
    station.run("pack", "--out", tmp_path / "package")
    pin = station.ca_cert
    station.run("apply", tmp_path / "package", "--ca", pin, "--dest", elsewhere, "--user", user)
    assert subjects(elsewhere / "broker.crt") == ["far.test", "Station A"]
    for host in ("near.test", "far.test"):
        assert subjects(station.certs / "brokers" / host / "broker.crt") == [host, "Station A"]
    assert station.run("health", "--deep", "--json", expect=None).json["differences"] == []
