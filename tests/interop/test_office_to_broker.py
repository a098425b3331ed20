"""From stations over their office to a broker: what stations do meanwhile, and who may sign for the office."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from cryptography import x509
from iotonboard.broker.acl import parse_acl
from iotonboard.pki.pem import pem_blocks

from support.offices import Office, journal, make_office, trust
from support.plants import Plant, build
from support.program import State, make_state
from support.site import Site
from support.stations import make_station, make_works


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, State]:
    made = {}
    for name in "ab":
        made[name] = make_state(tmp_path_factory.mktemp(name), "--common-name", f"Station {name.upper()}")
        made[name].register(f"{name}-1", f"{name}-2")
    made["a"].run("revoke", "a-2", "--reason", "hold")
    return made


@pytest.fixture
def plant(pristine: dict[str, State], tmp_path: Path) -> Plant:
    return build(make_office(tmp_path / "hq"), pristine, tmp_path, "a", "b")


@pytest.fixture
def site(plant: Plant, tmp_path: Path) -> Site:
    (tmp_path / "site").mkdir()
    made = Site(plant.stations["a"], tmp_path / "site")
    made.ca = plant.office.certificate
    return made


def applied(site: Site, office: Office, name: str) -> dict[str, list[str]]:
    office.run("pack", "--out", site.folder / name)
    said: dict[str, list[str]] = json.loads(site.apply(site.folder / name, "--json"))
    assert (said["older"], said["forked"]) == ([], [])
    return said


def let_in(site: Site, *names: str) -> set[str]:
    acl = parse_acl((site.dest / "mosquitto.acl").read_bytes())
    return {name for name in names if acl.allows(name, name, "write", f"devices/{name}/x")}


def cas(site: Site) -> list[str]:
    found = x509.load_pem_x509_certificates((site.dest / "ca.crt").read_bytes())
    return sorted(one.subject.rfc4514_string().removeprefix("CN=") for one in found)


def test_what_left_a_list_is_explained_and_a_calendar_goes_along(plant: Plant, site: Site) -> None:
    applied(site, plant.office, "one")
    assert len(site.revoked_by_name("Station A")) == 1
    plant.stations["a"].run("release", "a-2")
    plant.stations["a"].run("gen-crl", "--calendar", "3", "--every", "7")
    plant.take("a")
    assert applied(site, plant.office, "two")["changed"] is True
    assert not site.revoked_by_name("Station A")
    assert let_in(site, "a-1", "a-2") == {"a-1", "a-2"}
    lists = pem_blocks("X509 CRL", (site.dest / "crl.pem").read_bytes())
    assert len(lists) == 4
    plant.stations["a"].run("revoke", "a-1")
    plant.take("a")
    applied(site, plant.office, "three")
    lists = [x509.load_der_x509_crl(der) for der in pem_blocks("X509 CRL", (site.dest / "crl.pem").read_bytes())]
    assert sorted(len(one) for one in lists) == [0, 1, 1, 1]


def test_a_broker_goes_over_from_a_station_that_knows_more_than_the_office(plant: Plant, site: Site) -> None:
    a = plant.stations["a"]
    own = site.folder / "own.crt"
    own.write_bytes(a.ca_cert.read_bytes())
    site.ca = own
    for number, words in enumerate((("register", "a-3"), ("register", "a-4"), ("revoke", "a-1"))):
        a.run(*words)
        site.apply(site.pack(f"own-{number}"))
    site.ca = plant.office.certificate
    plant.office.run("pack", "--out", site.folder / "one")
    said = json.loads(site.apply(site.folder / "one", "--json"))
    assert any("a-1" in one for one in said["kept"])
    assert let_in(site, "a-1", "b-1", "b-2") == {"b-1", "b-2"}
    assert len(site.revoked_by_name("Station A")) == 2
    plant.take("a")
    applied(site, plant.office, "two")
    assert let_in(site, "a-1", "a-3", "a-4", "b-1") == {"a-3", "a-4", "b-1"}
    site.ca = own
    a.register("a-5")
    site.apply(site.pack("own-9"))
    assert let_in(site, "a-1", "a-3", "a-5", "b-1") == {"a-3", "a-5"}


def test_a_station_that_rolls_over_stays_the_same_station(plant: Plant, site: Site) -> None:
    a = plant.stations["a"]
    applied(site, plant.office, "one")
    a.run("ca", "rollover", "begin", "--yes")
    a.register("a-3")
    plant.take("a")
    applied(site, plant.office, "two")
    assert len(cas(site)) == 3
    assert let_in(site, "a-1", "a-3", "b-1") == {"a-1", "a-3", "b-1"}
    a.run("revoke", "a-1", "a-2", "--yes")
    a.run("ca", "rollover", "--retire", "--yes")
    plant.take("a")
    said = applied(site, plant.office, "three")
    assert any("which goes" in one for one in said["dropped"])
    assert len(cas(site)) == 2
    assert let_in(site, "a-1", "a-2", "a-3") == {"a-3"}


def test_a_second_machine_packs_under_the_first_ones_name_until_it_is_removed(
    plant: Plant, site: Site, tmp_path: Path
) -> None:
    first = plant.office
    second = Office(tmp_path / "second", first.passphrase_file, f"sqlite:///{first.path}/devices.db")
    pinned = hashlib.sha256(pem_blocks("CERTIFICATE", first.certificate.read_bytes())[0]).hexdigest()
    own = second.json("init-office", "--join", "--name", "hall2", "--fingerprint", pinned)["fingerprint"]
    first.run("machine", "trust", "hall2", "--fingerprint", own)
    applied(site, second, "one")
    plant.stations["b"].run("revoke", "b-1")
    plant.take("b")
    applied(site, first, "two")
    applied(site, second, "three")
    assert let_in(site, "a-1", "b-1", "b-2") == {"a-1", "b-2"}
    second.run("pack", "--out", site.folder / "thief")
    first.run("machine", "remove", "hall2", "--yes")
    applied(site, first, "four")
    assert "the office removed the machine that signed this" in site.refused(site.folder / "thief")


def test_a_station_that_its_root_took_back_goes(tmp_path: Path) -> None:
    works, office = make_works(tmp_path), make_office(tmp_path / "hq")
    stations = {}
    for name in "ab":
        stations[name] = make_station(tmp_path / name, f"Station {name.upper()}")
        works.certify(stations[name])
        stations[name].register(f"{name}-1")
        trust(office, stations[name], name)
    works.root.run("ca", "revoke", "Station A", "--reason", "keyCompromise", "--yes")
    for name, state in stations.items():
        if name == "b":  # whom alone the root's new list reached
            state.run("ca", "install", works.root.crl)
        journal(state, tmp_path / f"{name}.journal")
        office.run("station", "take", tmp_path / f"{name}.journal")
    told = office.run("sync-acl", "--json")
    assert [one["station"] for one in told.json["problems"]] == ["a"]
    assert "a root revoked the CA of 'a'" in told.stderr
    (tmp_path / "site").mkdir()
    site = Site(stations["b"], tmp_path / "site")
    site.ca = office.certificate
    applied(site, office, "one")
    assert cas(site) == ["Station B", "Works Root"]
    assert let_in(site, "a-1", "b-1") == {"b-1"}


def test_the_package_of_a_root_takes_a_station_out_at_its_offices_broker_too(tmp_path: Path) -> None:
    works, office = make_works(tmp_path), make_office(tmp_path / "hq")
    stations = {name: make_station(tmp_path / name, f"Station {name.upper()}") for name in "ab"}
    for name, state in stations.items():
        works.certify(state)
        state.register(f"{name}-1")
        trust(office, state, name)
        journal(state, tmp_path / f"{name}.journal")
        office.run("station", "take", tmp_path / f"{name}.journal")
    (tmp_path / "site").mkdir()
    site = Site(stations["b"], tmp_path / "site")
    site.ca = tmp_path / "pinned.pem"
    site.ca.write_bytes(office.certificate.read_bytes() + works.root.ca_cert.read_bytes())
    applied(site, office, "one")
    works.root.run("ca", "revoke", "Station A", "--reason", "keyCompromise", "--yes")
    works.root.run("pack", "--out", tmp_path / "of-root")
    site.apply(tmp_path / "of-root")
    assert cas(site) == ["Station B", "Works Root"]
    applied(site, office, "two")  # no journal has the root's new list yet
    assert cas(site) == ["Station B", "Works Root"]
    assert let_in(site, "b-1") == {"b-1"}
