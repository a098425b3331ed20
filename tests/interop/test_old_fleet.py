"""An old fleet beside the new CA: its devices at a real broker, and packages that carry its CA and its list."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from iotonboard.broker.foreign_mark import MARK

from support.client import connect_answer, connected, unpack
from support.clock import fake_time
from support.invariants import read_crls
from support.old_fleet import OldFleet
from support.program import State, make_state
from support.site import Site


@pytest.fixture
def old(tmp_path: Path) -> OldFleet:
    return OldFleet(tmp_path / "old")


@pytest.fixture
def site(state: State, tmp_path: Path) -> Site:
    state.register("press-1")
    (tmp_path / "site").mkdir()
    return Site(state, tmp_path / "site")


def names(path: Path) -> list[str]:
    certificates = x509.load_pem_x509_certificates(path.read_bytes())
    return [str(one.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value) for one in certificates]


def numbers(path: Path) -> list[int]:
    return [one.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for one in read_crls(path)]


# -- a broker --------------------------------------------------------------------------------------------------------


def test_both_fleets_at_one_broker(state: State, old: OldFleet, start_broker, tmp_path: Path) -> None:
    """Accepted and refused as their own lists say, by old lists and new ones, and not at all once it is taken out."""
    ours, gone = (unpack(one, tmp_path) for one in state.register("press-1", "press-2"))
    theirs, lost, next_lost = (old.device(name, state.ca_cert) for name in ("old-1", "old-2", "old-3"))
    state.acl.write_bytes(state.acl.read_bytes() + b"\nuser old-1\ntopic readwrite old/#\n")
    broker = start_broker(state)
    assert connect_answer(broker, theirs) != "Success"
    state.run("ca", "trust", "add", old.ca, "--crl", old.crl(1, lost))
    broker.reload()
    state.run("revoke", "press-2")
    broker.reload()
    answers = {one.device_id: connect_answer(broker, one) for one in (ours, gone, theirs, lost, next_lost)}
    accepted = {"press-1", "old-1", "old-3"}
    assert {name for name, answer in answers.items() if answer == "Success"} == accepted, answers
    with connected(broker, theirs, ours) as [one, two]:
        one.subscribe("#")
        two.publish("devices/press-1/x", "not for the old fleet")
        one.publish("old/x", "its own")
        assert one.received() == [("old/x", "its own")]
    state.run("ca", "trust", "add", "--crl", old.crl(2, lost, next_lost))
    broker.reload()
    assert connect_answer(broker, next_lost) != "Success"
    assert connect_answer(broker, theirs) == "Success"
    state.run("ca", "trust", "remove", old.fingerprint[:12])
    broker.reload()
    assert connect_answer(broker, theirs) != "Success"
    assert connect_answer(broker, ours) == "Success"


def test_two_levels_and_a_ca_of_our_own_name(state: State, start_broker, tmp_path: Path) -> None:
    root = OldFleet(tmp_path / "root", "Old Root")
    station = OldFleet(tmp_path / "station", "Station 7", above=root)
    twin = OldFleet(tmp_path / "twin", "IoT Onboarding CA")
    devices = [one.device(f"old-{number}", state.ca_cert) for number, one in enumerate((station, twin))]
    revoked = [one.device(f"lost-{number}", state.ca_cert) for number, one in enumerate((station, twin))]
    ours = unpack(state.register("press-1")[0], tmp_path)
    for one, lost in zip((station, twin), revoked, strict=True):
        state.run("ca", "trust", "add", one.ca, "--crl", one.crl(7, lost))
    assert names(state.ca_cert) == ["IoT Onboarding CA", "Station 7", "Old Root", "IoT Onboarding CA"]
    broker = start_broker(state)
    assert [connect_answer(broker, one) for one in (ours, *devices)] == ["Success"] * 3
    assert "Success" not in [connect_answer(broker, one) for one in revoked]
    state.run("ca", "trust", "remove", station.fingerprint[:12])
    assert names(state.ca_cert) == ["IoT Onboarding CA"] * 2, "the root above it went along"


def test_a_list_that_ended_keeps_no_revocation_of_ours_from_the_broker(
    state: State, old: OldFleet, start_broker, tmp_path: Path
) -> None:
    ours = unpack(state.register("press-1")[0], tmp_path)
    state.run("ca", "trust", "add", old.ca, "--crl", old.crl(1, days=2))
    broker = start_broker(state)
    state.run("config", "set", "broker.reload", f"pid:{tmp_path / 'pid'}")
    (tmp_path / "pid").write_text(str(broker._process.pid))
    later = fake_time("+3d")
    state.run("revoke", "press-1", "--reload", env=later)
    assert connect_answer(broker, ours) != "Success"
    said = state.json("health", "--check", "trust", env=later, expect=9)["checks"][0]
    assert "'Old Plant CA' ended" in said["message"]
    assert "iotonboard ca trust add --crl" in said["hint"]
    assert state.run("verify", env=later, expect=9).stdout.count("has expired") <= 1


# -- packages --------------------------------------------------------------------------------------------------------


def test_a_package_brings_ca_and_list_and_takes_them_away(site: Site, old: OldFleet) -> None:
    site.apply(site.pack("before"))
    site.state.run("ca", "trust", "add", old.ca, "--crl", old.crl(5))
    site.apply(site.pack("with"))
    assert names(site.dest / "ca.crt") == ["IoT Onboarding CA", "Old Plant CA"]
    assert numbers(site.dest / "crl.pem")[-1] == 5
    site.state.run("ca", "trust", "remove", old.ca)
    said = json.loads(site.apply(site.pack("without"), "--json"))
    assert names(site.dest / "ca.crt") == ["IoT Onboarding CA"]
    assert len(read_crls(site.dest / "crl.pem")) == 1
    assert any(old.fingerprint[:16] in one for one in said["dropped"])


def test_a_ca_that_others_put_there_stays_beside_ours(site: Site, old: OldFleet, tmp_path: Path) -> None:
    third = OldFleet(tmp_path / "third", "Third")
    site.apply(site.pack("first"))
    for name, file in (("ca.crt", third.ca), ("crl.pem", third.crl(3))):
        path = site.dest / name
        path.write_bytes(path.read_bytes() + file.read_bytes())
    site.state.run("ca", "trust", "add", old.ca, "--crl", old.crl(5))
    said = json.loads(site.apply(site.pack("second"), "--json"))
    assert set(names(site.dest / "ca.crt")) == {"IoT Onboarding CA", "Old Plant CA", "Third"}
    assert {3, 5} <= set(numbers(site.dest / "crl.pem"))
    assert len(said["kept"]) == 2
    site.state.run("ca", "trust", "remove", old.ca)
    site.apply(site.pack("third"))
    assert set(names(site.dest / "ca.crt")) == {"IoT Onboarding CA", "Third"}


def test_no_older_list_of_theirs_comes_in_and_none_holds_ours_back(site: Site, old: OldFleet) -> None:
    """A newer one was carried to the broker by hand; and the package's has ended by now."""
    site.state.run("ca", "trust", "add", old.ca, "--crl", old.crl(5, days=2))
    site.apply(site.pack("first"))
    newer = old.crl(6, begin=-timedelta(minutes=1))
    path = site.dest / "crl.pem"
    path.write_bytes(path.read_bytes().split(MARK)[0] + newer.read_bytes())
    site.state.run("revoke", "press-1")
    said = json.loads(site.apply(site.pack("second"), "--json"))
    assert any("is not newer than CRL 6" in one for one in said["older"])
    assert 6 in numbers(path)
    assert len(site.revoked() | {one.serial_number for one in read_crls(path)[0]}) == 1
    later = fake_time("+3d")
    fresh = Site.__new__(Site)
    fresh.state, fresh.folder, fresh.dest, fresh.ca = site.state, site.folder, site.folder / "new", site.ca
    fresh.dest.mkdir(mode=0o755)
    site.state.run("pack", "--out", site.folder / "third", env=later)
    said = json.loads(fresh.apply(site.folder / "third", "--json", env=later))
    assert said["changed"]
    assert any("expired" in one for one in said["warnings"])


def test_what_left_their_list_is_their_business(site: Site, old: OldFleet) -> None:
    lost = old.device("old-1", site.state.ca_cert)
    site.state.run("ca", "trust", "add", old.ca, "--crl", old.crl(5, lost))
    site.apply(site.pack("first"))
    said = site.state.run("ca", "trust", "add", "--crl", old.crl(6, begin=-timedelta(minutes=1))).stderr
    assert "lacks 1 serials that CRL 5 has" in said
    site.apply(site.pack("second"))
    assert len(read_crls(site.dest / "crl.pem")[-1]) == 0


def test_lists_without_numbers_of_other_algorithms(site: Site, tmp_path: Path) -> None:
    """As ``openssl ca`` without a file of numbers, and a P-521 key, make them."""
    from cryptography.hazmat.primitives.asymmetric import ec

    large = OldFleet(tmp_path / "large", "Large", curve=ec.SECP521R1())
    site.state.run("ca", "trust", "add", large.ca, "--crl", large.crl(None))
    site.apply(site.pack("first"))
    newer = large.crl(None, begin=-timedelta(minutes=1), path="newer.pem")
    site.state.run("ca", "trust", "add", "--crl", newer)
    site.apply(site.pack("second"))
    assert newer.read_bytes() in (site.dest / "crl.pem").read_bytes()
    assert large.crl(None).exists()
    assert "not newer" in site.state.run("ca", "trust", "add", "--crl", large.crl(None), expect=4).stderr


def test_a_ca_of_others_signs_no_package(site: Site, tmp_path: Path) -> None:
    """The CA file that a broker reads may be the one that is pinned; its owner is not ours."""
    (tmp_path / "their").mkdir()
    theirs = make_state(tmp_path / "their", "--common-name", "Theirs")
    theirs.register("press-1")
    site.state.run("ca", "trust", "add", theirs.ca_cert, "--crl", theirs.crl)
    site.apply(site.pack("first"))
    shutil.copy(site.dest / "ca.crt", site.ca)
    theirs.run("pack", "--out", site.folder / "forged")
    assert "not signed by the CA that is trusted" in site.refused(site.folder / "forged")
    site.apply(site.pack("second"))
