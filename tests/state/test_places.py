"""A disk that is away is known by what is not on it: nothing is written in its place, and it is brought up to date."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from support.program import State, make_state, snapshot

OPERATOR = "user plant\ntopic readwrite plant/#\n"


class Disk:
    """A folder with something that was published, which can be taken away and brought back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._away = path.with_name(f"{path.name}-elsewhere")
        path.mkdir(mode=0o700)

    def take(self, leave: Callable[[Path], None]) -> dict[str, str]:
        """Take it away; what stands in its place then."""
        self.path.rename(self._away)
        leave(self.path)
        return snapshot(self.path)

    def bring_back(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._away.rename(self.path)


def _nothing(_path: Path) -> None:
    """Not even a mount point."""


def _mount_point(path: Path) -> None:
    path.mkdir(mode=0o700)


def _other_disk(path: Path) -> None:
    path.mkdir(mode=0o700)
    (path / "mosquitto.acl").write_text(OPERATOR)
    (path / "crl.pem").touch()


WAYS = (_nothing, _mount_point, _other_disk)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "disk")


def move_acl(state: State, disk: Disk) -> None:
    (disk.path / "mosquitto.acl").write_text(OPERATOR)
    state.run("config", "set", "broker_acl_file", disk.path / "mosquitto.acl")
    state.run("sync-acl")


def move_crl(state: State, disk: Disk) -> None:
    state.run("config", "set", "broker_crl_file", disk.path / "crl.pem")
    state.run("gen-crl")


def move_ca(state: State, disk: Disk) -> None:
    for one in state.certs.iterdir():
        shutil.move(one, disk.path / one.name)
    state.certs.rmdir()
    state.run("config", "set", "ca_root_path", disk.path)


def health(state: State) -> dict[str, dict[str, str]]:
    return {one["name"]: one for one in state.run("health", "--json", expect=(0, 9)).json["checks"]}


@pytest.mark.parametrize("leave", WAYS)
@pytest.mark.parametrize("move", [move_acl, move_crl])
def test_a_revocation_is_recorded_and_goes_to_the_disk_when_that_is_back(
    state: State, disk: Disk, move: Callable[[State, Disk], None], leave: Callable[[Path], None]
) -> None:
    move(state, disk)
    before = disk.take(leave)
    done = state.run("revoke", "press-1", expect=8)
    assert str(disk.path) in done.stderr
    assert snapshot(disk.path) == before, "nothing is written where nothing of this CA is"
    for words in (("gen-crl",), ("sync-acl",), ("revoke", "press-1")):
        state.run(*words, expect=(0, 8))
    assert snapshot(disk.path) == before
    assert health(state)["places"]["status"] == "failed"
    assert str(disk.path) in health(state)["places"]["message"]
    deep = state.run("health", "--deep", expect=9)
    assert str(disk.path) in deep.stdout or move is move_acl
    disk.bring_back()
    state.run("sync-acl")
    assert state.json("health")["status"] == "ok"
    assert state.run("health", "--deep").stdout == "everything is as it was recorded\n"
    if move is move_acl:
        acl = (disk.path / "mosquitto.acl").read_text()
        assert acl.startswith(OPERATOR)
        assert "press-1" not in acl
    else:
        assert len(state.json("verify", "press-1", expect=(0, 9))["problems"]) == 0


@pytest.mark.parametrize("leave", WAYS)
def test_a_purge_is_finished_when_the_disk_is_back(state: State, disk: Disk, leave: Callable[[Path], None]) -> None:
    move_ca(state, disk)
    before = disk.take(leave)
    done = state.run("purge", "press-1", "--json", expect=8)
    assert done.json["files_gone"] is False
    assert "its files are still there" in state.run("purge", "press-1", expect=8).stdout
    assert snapshot(disk.path) == before
    assert health(state)["places"]["status"] == "failed"
    assert state.run("health", "--deep", expect=9).stdout.startswith(f"away\t{disk.path}\t")
    disk.bring_back()
    folder = disk.path / "devices" / "press-1"
    assert {one.name for one in folder.iterdir()} == {"device.crt", "device.key", "creds.zip"}
    state.run("list")
    assert {one.name for one in folder.iterdir()} == {"device.crt"}
    assert state.run("health", "--deep").stdout == "everything is as it was recorded\n"


def test_the_policy_for_keys_waits_for_the_disk_too(state: State, disk: Disk) -> None:
    move_ca(state, disk)
    state.run("config", "set", "keep_keys", "until-confirmed")
    disk.take(_mount_point)
    state.run("confirm", "press-1", expect=(0, 8))
    state.run("purge", "press-2", expect=8)
    assert list(disk.path.iterdir()) == []
    disk.bring_back()
    state.run("list")
    assert [one.name for one in (disk.path / "devices" / "press-1").iterdir()] == ["device.crt"]


def test_an_unmounted_ca_folder_inside_of_the_state_is_away_too(state: State) -> None:
    """``certs`` may be the mount point of a removable disk."""
    state.certs.rename(state.path / "away")
    state.certs.mkdir(mode=0o700)
    state.run("purge", "press-1", expect=8)
    state.run("gen-crl", expect=7)
    assert list(state.certs.iterdir()) == []
    state.certs.rmdir()
    (state.path / "away").rename(state.certs)
    state.run("list")
    assert [one.name for one in state.device("press-1").iterdir()] == ["device.crt"]


def test_files_that_were_deleted_inside_of_the_state_are_written_again(state: State) -> None:
    for path in (state.acl, state.crl, state.ca_cert):
        path.unlink()
    state.run("sync-acl")
    assert state.json("health")["status"] == "ok"


def test_a_file_that_was_deleted_beside_others_of_this_ca_is_written_again(state: State, disk: Disk) -> None:
    move_acl(state, disk)
    move_crl(state, disk)
    (disk.path / "crl.pem").unlink()
    state.run("gen-crl")
    (disk.path / "mosquitto.acl").unlink()
    state.run("sync-acl")
    assert state.json("health")["status"] == "ok"


def test_the_disk_of_another_ca_with_the_same_name_is_no_place_of_this_one(
    state: State, disk: Disk, tmp_path: Path
) -> None:
    move_crl(state, disk)
    (tmp_path / "other").mkdir()
    other = make_state(tmp_path / "other")
    before = disk.take(lambda path: shutil.copytree(other.certs, path))
    state.run("revoke", "press-1", expect=8)
    state.run("gen-crl", expect=8)
    assert snapshot(disk.path) == before


def test_a_place_begins_anew_where_that_is_said(state: State, disk: Disk, tmp_path: Path) -> None:
    move_crl(state, disk)
    other = Disk(tmp_path / "other")
    move_acl(state, other)
    for one in (disk, other):
        one.take(_mount_point)
    refused = state.run("revoke", "press-1", expect=8).stderr
    assert "gen-crl --here" in refused
    state.run("gen-crl", "--here", expect=8)
    assert [one.name for one in disk.path.iterdir()] == ["crl.pem"]
    assert list(other.path.iterdir()) == [], "only what the verb is about"
    state.run("sync-acl", "--here")
    assert state.json("health")["status"] == "ok"
    rows = state.run("audit", "show", "--all", "--json").json_lines
    assert [row["detail"]["place"] for row in rows if row["subject"] == "place"] == ["crl", "acl"]
    state.run("sync-acl", "--here", "--check", expect=2)


def test_a_state_of_before_places_were_noted_needs_no_step(state: State, disk: Disk) -> None:
    move_crl(state, disk)
    with closing(sqlite3.connect(state.path / "devices.db")) as database, database:
        database.execute("DELETE FROM place")
    disk.take(_mount_point)
    state.run("revoke", "press-1", expect=8)
    assert list(disk.path.iterdir()) == []
    disk.bring_back()
    state.run("gen-crl")
    assert state.json("health")["status"] == "ok"


def test_the_place_of_before_is_not_forgotten_when_the_settings_move(state: State, disk: Disk, tmp_path: Path) -> None:
    """There and back again: the first place is brought up to date, and not written to while its disk is away."""
    move_crl(state, disk)
    state.run("config", "set", "broker_crl_file", tmp_path / "crl.pem")
    state.run("revoke", "press-1")
    assert (tmp_path / "crl.pem").read_bytes() != (disk.path / "crl.pem").read_bytes()
    disk.take(_mount_point)
    state.run("config", "set", "broker_crl_file", disk.path / "crl.pem")
    state.run("gen-crl", expect=8)
    disk.bring_back()
    state.run("sync-acl")
    assert state.json("health")["status"] == "ok"


def test_what_changes_nothing_there_needs_no_disk(state: State, disk: Disk) -> None:
    move_crl(state, disk)
    disk.take(_nothing)
    state.register("press-3")
    assert not disk.path.exists()


def test_files_of_a_purged_device_that_came_back_are_named_and_erased(state: State) -> None:
    old = state.path / "old-copy"
    shutil.copytree(state.device("press-1"), old)
    state.run("purge", "press-1")
    assert state.run("health", "--deep").stdout == "everything is as it was recorded\n"
    shutil.rmtree(state.device("press-1"))
    old.rename(state.device("press-1"))
    found = state.run("health", "--deep", expect=9).stdout
    assert "purged\tpress-1\tdevice.key is back, and was purged" in found
    assert "purged\tpress-1\tcreds.zip is back, and was purged" in found
    state.run("health", "--repair")
    assert [one.name for one in state.device("press-1").iterdir()] == ["device.crt"]


def test_a_delivery_that_was_recorded_waits_for_the_disk_of_its_bundle(state: State, disk: Disk) -> None:
    move_ca(state, disk)
    state.register("press-9")
    link = Path(state.json("deliver", "press-9")["path"])
    link.unlink()
    with closing(sqlite3.connect(state.path / "devices.db")) as database, database:
        database.execute("UPDATE delivery SET written_at = NULL")  # as a kill leaves it
    disk.take(_mount_point)
    state.run("revoke", "press-1", expect=8)
    disk.bring_back()
    state.run("gen-crl")
    assert link.read_bytes() == (disk.path / "devices" / "press-9" / "creds.zip").read_bytes()
    assert "pending" in state.run("deliveries").stdout


@pytest.mark.parametrize(("key", "name"), [("broker_crl_file", "crl.pem"), ("broker_ca_file", "ca.crt")])
def test_what_another_ca_published_is_not_written_over(state: State, tmp_path: Path, key: str, name: str) -> None:
    (tmp_path / "other").mkdir()
    other = make_state(tmp_path / "other")
    there = tmp_path / name
    there.write_bytes((other.crl if name == "crl.pem" else other.ca_cert).read_bytes())
    before, settings = there.read_bytes(), state.run("config", "show").stdout
    told = state.run("config", "set", key, there, expect=4).stderr
    assert "of another CA" in told
    assert "iotonboard ca trust add" in told
    assert there.read_bytes() == before
    assert state.run("config", "show").stdout == settings
    there.unlink()
    state.run("config", "set", key, there)
    state.run("gen-crl")
    assert there.exists()
