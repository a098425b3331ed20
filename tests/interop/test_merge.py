"""``apply`` keeps the newer of each part: no order of packages, of two copies of a state either, un-revokes."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from support.clock import fake_time
from support.faults import refuse_to_read, refuse_to_replace
from support.program import State, make_state
from support.site import FILES, Site

DEVICES = ("press-1", "press-2", "press-3")


@pytest.fixture
def site(state: State, tmp_path: Path) -> Site:
    state.register(*DEVICES)
    (tmp_path / "site").mkdir()
    return Site(state, tmp_path / "site")


def copy_of(site: Site, folder: Path) -> Site:
    """The same broker's machine, served from a copy of the state."""
    folder.mkdir()
    other = object.__new__(Site)
    other.state, other.folder, other.dest, other.ca = site.state.copy_to(folder), folder, site.dest, site.ca
    return other


def serial(state: State, device_id: str) -> int:
    return int(state.json("show", device_id)["certificates"][0]["serial"], 16)


@pytest.mark.parametrize("calendar", [False, True])
def test_a_snapshot_put_back_un_revokes_nothing(site: Site, tmp_path: Path, *, calendar: bool) -> None:
    if calendar:
        site.state.run("gen-crl", "--calendar", "3", "--every", "7")
    snapshot = copy_of(site, tmp_path / "snapshot")
    site.state.run("revoke", "press-1")
    site.apply(site.pack("first"))
    one, two = (serial(site.state, name) for name in DEVICES[:2])
    assert site.revoked() == {one}
    for words in (("revoke", "press-2"), ("gen-crl",), ("gen-crl",)):
        snapshot.state.run(*words)
        said = snapshot.refused(snapshot.pack("old", "--force"), expect=4)
        assert "iotonboard restore --crl" in said
        assert site.revoked() == {one}
        assert site.is_silent("press-1")
    assert "lacks 1 serials" in said
    assert snapshot.state.json("restore", "--crl", site.dest / "crl.pem")["taken_up"] == 1
    snapshot.apply(snapshot.pack("mended"))
    assert site.revoked() == {one, two}
    assert site.is_silent("press-1")
    assert site.is_silent("press-2")
    assert not site.is_silent("press-3")
    assert "older" in site.refused(site.folder / "first")


def test_an_older_list_and_acl_of_a_newer_package_are_told(site: Site, tmp_path: Path) -> None:
    """The copy is behind by number: its ACL goes with its list."""
    snapshot = copy_of(site, tmp_path / "snapshot")
    for _ in range(4):
        site.state.run("gen-crl")
    site.state.run("revoke", "press-1")
    site.apply(site.pack("first"))
    snapshot.state.register("new-1", "new-2", "new-3", "new-4")
    for number in range(4):
        snapshot.state.register(f"more-{number}")
    said = snapshot.refused(snapshot.pack("behind"), expect=4)
    assert "older than CRL" in said
    assert site.is_silent("press-1")


def test_a_list_that_was_carried_by_hand_holds_no_fresh_acl_back(site: Site) -> None:
    site.apply(site.pack("first"))
    site.state.register("new")
    package = site.pack("second")
    site.state.run("revoke", "press-1")
    shutil.copy(site.state.crl, site.dest / "crl.pem")
    answer = json.loads(site.apply(package, "--json"))
    assert answer["changed"] is True
    assert "is older than CRL" in answer["older"][0]
    assert site.revoked() == {serial(site.state, "press-1")}
    assert not site.is_silent("new")


def test_an_acl_that_was_carried_by_hand_is_not_replaced_by_an_older_one(site: Site) -> None:
    site.apply(site.pack("first"))
    package = site.pack("second")
    site.state.run("revoke", "press-1")
    shutil.copy(site.state.acl, site.dest / "mosquitto.acl")
    answer = json.loads(site.apply(package, "--json"))
    assert "of the ACL is older" in answer["older"][0]
    assert site.is_silent("press-1")
    site.apply(site.pack("third"))
    assert site.revoked() == {serial(site.state, "press-1")}


def test_what_left_a_list_for_a_reason_is_no_loss(site: Site) -> None:
    site.state.run("revoke", "press-1", "--reason", "certificateHold")
    site.state.register("short", "--validity-days", "1")
    site.state.run("revoke", "short")
    site.apply(site.pack("first"))
    assert len(site.revoked()) == 2
    site.state.run("release", "press-1")
    site.apply(site.pack("second"))
    assert site.revoked() == {serial(site.state, "short")}
    for day in ("+3d", "+4d"):
        site.state.run("gen-crl", env=fake_time(day))
    site.state.run("pack", "--out", site.folder / "third", env=fake_time("+5d"))
    site.apply(site.folder / "third", env=fake_time("+5d"))
    assert site.revoked() == set()


def test_what_others_put_there_stays(site: Site, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    theirs = make_state(tmp_path / "theirs", "--common-name", "Another CA")
    site.apply(site.pack("first"))
    for name, content in (("ca.crt", theirs.ca_cert.read_bytes()), ("crl.pem", theirs.crl.read_bytes())):
        with (site.dest / name).open("ab") as file:
            file.write(content)
    site.state.run("revoke", "press-1")
    answer = json.loads(site.apply(site.pack("second"), "--json"))
    assert len(answer["kept"]) == 2
    assert theirs.ca_cert.read_bytes() in (site.dest / "ca.crt").read_bytes()
    assert theirs.crl.read_bytes() in (site.dest / "crl.pem").read_bytes()
    # Their list has ended, as it had before: no reason to hold ours back.
    site.state.run("gen-crl", env=fake_time("+40d"))
    site.state.run("pack", "--out", site.folder / "third", env=fake_time("+40d"))
    site.apply(site.folder / "third", env=fake_time("+40d"))
    assert theirs.crl.read_bytes() in (site.dest / "crl.pem").read_bytes()


def test_a_ca_that_is_retired_goes(site: Site) -> None:
    site.apply(site.pack("first"))
    site.state.run("ca", "rollover", "begin")
    site.apply(site.pack("second"))
    site.state.run("renew", *DEVICES, "--revoke-old", "now")
    site.state.run("ca", "rollover", "--retire")
    site.ca = Path(shutil.copy(site.dest / "ca.crt", site.folder / "both.crt"))
    answer = json.loads(site.apply(site.pack("third"), "--json"))
    assert len(answer["dropped"]) == 2
    assert (site.dest / "ca.crt").read_bytes() == site.state.ca_cert.read_bytes()
    assert (site.dest / "crl.pem").read_bytes() == site.state.crl.read_bytes()


@pytest.mark.parametrize("name", ["crl.pem", "ca.crt"])
@pytest.mark.parametrize("damage", [b"", b"garbage\n", b"-----BEGIN X509 CRL-----\nAAAA\n", b"\0" * 100])
def test_a_damaged_file_there_is_replaced(site: Site, name: str, damage: bytes) -> None:
    site.apply(site.pack("first"))
    whole = (site.dest / name).read_bytes()
    (site.dest / name).write_bytes(damage)
    site.apply(site.folder / "first")
    assert (site.dest / name).read_bytes() == whole
    (site.dest / name).write_bytes(whole + damage)
    site.state.run("revoke", "press-1")
    site.apply(site.pack("second"))
    assert site.revoked() == {serial(site.state, "press-1")}


@pytest.mark.parametrize("name", FILES)
def test_a_file_there_that_cannot_be_read_holds_no_list_back(site: Site, name: str) -> None:
    """The one that was kept counts in its place: an older package brings nothing back. It stays beside."""
    site.apply(site.pack("first"))
    site.state.run("revoke", "press-1")
    site.apply(site.pack("second"))
    (site.dest / name).write_bytes((site.dest / name).read_bytes() + b"# of the operator\n")
    unread = refuse_to_read(site.dest / name)
    for package in ("first", "second"):
        site.apply(site.folder / package, before=unread)
        assert site.revoked() == {serial(site.state, "press-1")}
        assert site.is_silent("press-1")
    site.state.run("revoke", "press-2")
    told = json.loads(site.apply(site.pack("third"), "--json", before=unread))
    assert len(site.revoked()) == 2
    assert site.is_silent("press-2")
    assert any("cannot be read" in one for one in told["dropped"])
    assert (site.dest / f"{name}.unread-1").read_bytes().endswith(b"# of the operator\n")


@pytest.mark.parametrize("name", FILES)
def test_a_file_there_that_cannot_be_replaced_fails_alone(site: Site, name: str) -> None:
    site.apply(site.pack("first"))
    site.state.register("new")
    site.state.run("revoke", "press-1")
    package, before = site.pack("second"), site.contents()
    fixed = refuse_to_replace(site.dest / name)
    if name == "ca.crt":
        site.apply(package, before=fixed)  # it is the same, and replaced only when another file is
        return
    said = json.loads(site.apply(package, "--json", expect=8, before=fixed))
    assert [one["what"] for one in said["unpublished"]] == [name]
    assert {one for one in FILES if site.contents()[one] == before[one]} >= {name}
    assert (site.revoked() == set()) is (name == "crl.pem")
    assert site.is_silent("press-1") is (name != "mosquitto.acl")
    site.apply(package)
    assert site.revoked() == {serial(site.state, "press-1")}
    assert site.is_silent("press-1")


def test_a_huge_number_ends_with_its_ca(site: Site) -> None:
    with closing(sqlite3.connect(site.state.path / "devices.db")) as database, database:
        database.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('package_counter', 1 << 60)")
    site.apply(site.pack("huge"))
    site.state.run("ca", "rollover", "begin")
    site.state.run("revoke", "press-1")
    answer = json.loads(site.apply(site.pack("honest"), "--json"))
    assert answer["counter"] < 1 << 60
    assert site.is_silent("press-1")
    assert "older" in site.refused(site.folder / "huge")


def test_an_older_apply_gets_a_package_of_form_1(site: Site) -> None:
    done = site.state.run("pack", "--out", site.folder / "one", "--format", "1")
    assert "warning: form 1 does not say why a serial left" in done.stderr
    assert (site.folder / "one").read_bytes().startswith(b"iotonboard package v1\n")
    site.apply(site.folder / "one")
    site.state.run("revoke", "press-1", "--reason", "certificateHold")
    site.apply(site.pack("two"))
    site.state.run("release", "press-1")
    site.state.run("pack", "--out", site.folder / "three", "--format", "1")
    assert "does not say why" in json.loads(site.apply(site.folder / "three", "--json"))["dropped"][0]
    assert site.revoked() == set()


def test_an_acl_that_cannot_be_rendered_holds_no_list_back(site: Site) -> None:
    site.apply(site.pack("first"))
    before = (site.dest / "mosquitto.acl").read_bytes()
    site.state.acl.write_text("nonsense\n" + site.state.acl.read_text())
    site.state.run("revoke", "press-1", expect=8)
    site.state.run("pack", "--out", site.folder / "second", expect=8)
    site.state.run("pack", "--out", site.folder / "other", "--format", "1", expect=6)
    answer = json.loads(site.apply(site.folder / "second", "--json"))
    assert answer["older"] == ["the package has no ACL"]
    assert site.revoked() == {serial(site.state, "press-1")}
    assert (site.dest / "mosquitto.acl").read_bytes() == before
