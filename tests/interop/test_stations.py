"""Several stations below one root at one broker: packages of each stay beside the other's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from iotonboard.broker.acl import parse_acl

from support.foreign_root import Root
from support.old_fleet import OldFleet
from support.program import State, make_state
from support.site import Site


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return Root(tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def pristine_stations(root: Root, tmp_path_factory: pytest.TempPathFactory) -> list[State]:
    """Two stations with two devices each; read only: copy them, or use ``stations``."""
    folder = tmp_path_factory.mktemp("stations")
    made = [root.station(folder / f"station-{name}", f"Station {name}") for name in "AB"]
    for state, name in zip(made, "ab", strict=True):
        state.register(f"{name}-1", f"{name}-2")
    return made


@pytest.fixture
def stations(pristine_stations: list[State], tmp_path: Path) -> list[State]:
    folders = [tmp_path / "station-A", tmp_path / "station-B"]
    for folder in folders:
        folder.mkdir()
    return [state.copy_to(folder) for state, folder in zip(pristine_stations, folders, strict=True)]


@pytest.fixture
def sites(stations: list[State], root: Root, tmp_path: Path) -> list[Site]:
    """One broker's machine, which knows the root alone, as each station packs for it."""
    made = []
    (tmp_path / "site").mkdir()
    first = Site(stations[0], tmp_path / "site")
    first.ca = root.crt
    second = object.__new__(Site)
    second.__dict__ |= first.__dict__ | {"state": stations[1]}
    made += [first, second]
    return made


def names(path: Path) -> list[str]:
    certificates = x509.load_pem_x509_certificates(path.read_bytes())
    return [str(one.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value) for one in certificates]


def acl_lets_in(site: Site) -> set[str]:
    acl = parse_acl((site.dest / "mosquitto.acl").read_bytes())
    devices = [f"{station}-{number}" for station in "ab" for number in (1, 2)]
    return {name for name in devices if acl.allows(name, name, "write", f"devices/{name}/x")}


def revoked_at(site: Site) -> int:
    blocks = (site.dest / "crl.pem").read_bytes().split(b"-----BEGIN X509 CRL-----")[1:]
    return sum(len(x509.load_pem_x509_crl(b"-----BEGIN X509 CRL-----" + one)) for one in blocks)


def test_each_station_brings_its_own_and_leaves_the_other_s(sites: list[Site]) -> None:
    a, b = sites
    a.apply(a.pack("a-1"))
    said = json.loads(b.apply(b.pack("b-1"), "--json"))
    assert (said["kept"], said["dropped"], said["forked"]) == ([], [], [])
    assert sorted(names(a.dest / "ca.crt")) == ["Station A", "Station B", "Works Root"]
    assert acl_lets_in(a) == {"a-1", "a-2", "b-1", "b-2"}
    a.state.run("revoke", "a-1")
    b.state.run("revoke", "b-2")
    for site, name in ((b, "b-2nd"), (a, "a-2nd")):
        said = json.loads(site.apply(site.pack(name), "--json"))
        assert said["forked"] == []
    assert acl_lets_in(a) == {"a-2", "b-1"}
    assert revoked_at(a) == 2
    for site, name in ((b, "b-1"), (a, "a-1")):
        assert "older" in site.refused(site.folder / name)
    site_files = a.contents()
    for site, name in ((b, "b-2nd"), (a, "a-2nd")):
        assert json.loads(site.apply(site.folder / name, "--json"))["changed"] is False
    assert a.contents() == site_files


def test_a_shared_broker_s_lists_are_taken_up_by_each_station(sites: list[Site], tmp_path: Path) -> None:
    """What hints say to do with that machine's crl.pem, which holds the other station's and the root's lists too."""
    a, b = sites
    (tmp_path / "copy").mkdir()
    copy = a.state.copy_to(tmp_path / "copy")
    a.state.run("revoke", "a-1")
    for site, name in ((a, "a"), (b, "b")):
        site.apply(site.pack(name))
    restored = copy.json("restore", "--crl", a.dest / "crl.pem")
    assert (restored["taken_up"], restored["lists_passed_over"]) == (1, ["Station B"])
    alone = tmp_path / "b-alone.pem"
    alone.write_bytes(b.state.crl.read_bytes())
    assert "not issued by a CA of this state" in copy.run("restore", "--crl", alone, expect=6).stderr


def test_a_copy_from_before_a_rollover_does_not_go_on_past_its_successor(stations: list[State], tmp_path: Path) -> None:
    """One with a name of its own cannot be told from another station's, and is named."""
    for state, options, said, code in (
        (stations[0], (), "not issued by a CA of this state", 6),
        (stations[1], ("--name", "Hall 4"), "passed over the lists of 'Hall 4'", 0),
    ):
        folder = tmp_path / f"copy-{code}"
        folder.mkdir()
        copy = state.copy_to(folder)
        state.run("ca", "rollover", "begin", *options, "--yes")
        assert said in copy.run("restore", "--crl", state.crl, expect=code).stderr


def test_a_station_that_is_here_as_it_was_before_its_root_stays_beside_another(root: Root, tmp_path: Path) -> None:
    """The other one's package comes first, and the broker's machine cannot know yet that both have the same root."""
    (tmp_path / "a").mkdir()
    a = make_state(tmp_path / "a", "--common-name", "Station A")
    a.register("a-1", "a-2")
    (tmp_path / "site").mkdir()
    site = Site(a, tmp_path / "site")
    site.apply(site.pack("before"))
    root.install(a)
    b = root.station(tmp_path / "b", "Station B")
    b.register("b-1")
    of_b = object.__new__(Site)
    of_b.__dict__ |= site.__dict__ | {"state": b, "ca": root.crt}
    of_b.apply(of_b.pack("b"))
    assert acl_lets_in(site) == {"a-1", "a-2", "b-1"}
    a.run("revoke", "a-1")
    site.ca = root.crt
    said = json.loads(site.apply(site.pack("after"), "--json"))
    assert (said["older"], said["forked"]) == ([], [])
    assert acl_lets_in(site) == {"a-2", "b-1"}
    assert sorted(names(site.dest / "ca.crt")) == ["Station A", "Station B", "Works Root"]


def test_a_station_that_trusts_another_no_more_takes_it_out_nowhere_else(sites: list[Site]) -> None:
    a, b = sites
    a.state.run("ca", "trust", "add", b.state.ca_cert, "--crl", b.state.crl)
    for site, name in ((a, "a"), (b, "b"), (a, "a-2")):
        site.state.run("gen-crl")
        site.apply(site.pack(name))
    a.state.run("ca", "trust", "remove", b.state.ca_cert)
    a.apply(a.pack("a-3"))
    assert sorted(names(a.dest / "ca.crt")) == ["Station A", "Station B", "Works Root"]
    b.state.run("revoke", "b-1")
    b.apply(b.pack("b-2"))
    assert len(b.revoked_by_name("Station B")) == 1
    assert acl_lets_in(b) == {"a-1", "a-2", "b-2"}


def test_rules_of_an_operator_stay_whichever_station_brings_its_own(sites: list[Site]) -> None:
    a, b = sites
    for site, who in ((a, "dashboard"), (b, "bridge")):
        text = site.state.acl.read_text()
        site.state.acl.write_text(f"topic read nobody/x\nuser {who}\ntopic read #\n\n{text}")
    for round_ in ("1", "2"):
        for site, name in ((a, "a"), (b, "b")):
            site.state.run("gen-crl")
            site.apply(site.pack(f"{name}-{round_}"))
            acl = parse_acl((site.dest / "mosquitto.acl").read_bytes())
            assert all(acl.allows(who, who, "read", "any") for who in ("dashboard", "bridge")) or name == "a"
            assert not acl.allows("a-2", "a-2", "read", "nobody/x")


@pytest.fixture
def withdrawn(sites: list[Site], root: Root, tmp_path: Path) -> list[Site]:
    """The root revoked station A, and B's package brought the root's list to the broker.

    A had taken in an old fleet, and B another one, which A had too.
    """
    a, b = sites
    one, both = OldFleet(tmp_path / "one", "Fleet of A"), OldFleet(tmp_path / "both", "Fleet of both")
    for state, fleet in ((a.state, one), (a.state, both), (b.state, both)):
        state.run("ca", "trust", "add", fleet.ca, "--crl", fleet.crl(1))
    a.apply(a.pack("a-1"))
    b.apply(b.pack("b-1"))
    certificate = x509.load_pem_x509_certificates(a.state.ca_cert.read_bytes())
    below = next(one for one in certificate if "Station A" in one.subject.rfc4514_string())
    a.pack("a-2")
    root.take_crl(b.state, root.crl(below.public_bytes(Encoding.DER)))
    b.state.run("revoke", "b-2")
    said = json.loads(b.apply(b.pack("b-2"), "--json"))
    assert any("which goes" in one for one in said["dropped"])
    return sites


def test_a_station_that_the_root_revoked_goes_with_its_list_and_stays_away(withdrawn: list[Site]) -> None:
    a, b = withdrawn
    assert sorted(names(a.dest / "ca.crt")) == ["Fleet of both", "Station B", "Works Root"]
    issuers = {
        x509.load_pem_x509_crl(b"-----BEGIN X509 CRL-----" + one).issuer.rfc4514_string()
        for one in (a.dest / "crl.pem").read_bytes().split(b"-----BEGIN X509 CRL-----")[1:]
    }
    assert not any("Station A" in name or "Fleet of A" in name for name in issuers)
    assert acl_lets_in(a) == {"b-1"}
    own = a.ca
    a.state.run("gen-crl")
    for site, package in ((a, "a-1"), (a, "a-2"), (a, str(a.pack("a-3")))):
        for pins in (own, a.state.ca_cert):
            site.ca = pins
            for words in ((), ("--accept-older",)):
                assert "revoked by the CA above it" in site.refused(site.folder / package, *words)
    b.ca = own
    b.apply(b.folder / "b-1", "--accept-older")  # of before, with the root's list of then
    assert sorted(names(b.dest / "ca.crt")) == ["Fleet of both", "Station B", "Works Root"]
    for name in ("ca.crt", "crl.pem", "mosquitto.acl"):
        (b.dest / name).unlink()
    b.apply(b.folder / "b-2")
    a.ca = own
    assert "revoked by the CA above it" in a.refused(a.folder / "a-2")


def test_a_stolen_station_speaks_for_no_ca_of_its_own_making(withdrawn: list[Site], tmp_path: Path) -> None:
    """Whoever has a revoked station's key signs with it what another CA's package says, and brings that CA along."""
    a, _ = withdrawn
    (tmp_path / "thief").mkdir()
    thief = make_state(tmp_path / "thief", "--common-name", "Thief")  # its key signs nothing here
    a.state.run("ca", "trust", "add", thief.ca_cert, "--crl", thief.crl)
    assert "revoked by the CA above it" in a.refused(a.pack("with"))


def test_who_pinned_a_station_before_takes_its_packages_still(root: Root, tmp_path: Path) -> None:
    """Its key is the same. What signed itself leaves the CA file, and no older package brings it back."""
    (tmp_path / "one").mkdir()
    state = make_state(tmp_path / "one")
    state.register("a-1")
    (tmp_path / "site").mkdir()
    site = Site(state, tmp_path / "site")
    before = Path(shutil.copy(state.ca_cert, tmp_path / "before.crt"))
    site.apply(site.pack("first"))
    backup = state.copy_to(tmp_path / "backup")
    root.install(state)
    said = json.loads(site.apply(site.pack("second"), "--json"))
    assert any("has another certificate now" in one for one in said["dropped"])
    assert names(site.dest / "ca.crt") == ["Works Root", "IoT Onboarding CA"]
    assert before.read_bytes() not in (site.dest / "ca.crt").read_bytes()
    state.run("revoke", "a-1")
    site.apply(site.pack("third"))
    assert len(site.revoked_by_name("IoT Onboarding CA")) == 1
    assert "older" in site.refused(site.folder / "first")
    assert before.read_bytes() not in (site.dest / "ca.crt").read_bytes()
    site.ca = root.crt
    site.apply(site.folder / "third")
    # A state that was restored from a backup of before does not bring it back either, however new its package is.
    site.state, site.ca = backup, before
    own = tmp_path / "own.pem"
    end = b"-----END X509 CRL-----\n"
    lists = [one + end for one in (site.dest / "crl.pem").read_bytes().split(end)[:-1]]
    own.write_bytes(next(one for one in lists if "Works" not in x509.load_pem_x509_crl(one).issuer.rfc4514_string()))
    backup.run("restore", "--crl", own)
    said = json.loads(site.apply(site.pack("restored"), "--json"))
    assert any("which a CA above it certified since" in one for one in said["dropped"])
    assert names(site.dest / "ca.crt") == ["Works Root", "IoT Onboarding CA"]
    assert before.read_bytes() not in (site.dest / "ca.crt").read_bytes()
    site.apply(site.folder / "restored", "--accept-older")
    assert before.read_bytes() in (site.dest / "ca.crt").read_bytes()
