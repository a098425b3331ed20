"""Root in somebody else's state: it works as that state's owner, and what it leaves behind is the owner's."""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.faults import become
from support.program import Result, State

OWNER = 12345
pytestmark = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="works as other users: needs root"
)


@pytest.fixture
def plant(pristine: State, folder: Path) -> State:
    """A state of another user's, with one device. Its passphrase file is root's, and nobody else can read it."""
    state = pristine.copy_to(folder)
    state.register("press-17")
    _give(state.path)
    return state


def _give(path: Path) -> None:
    for one in (path, *path.rglob("*")):
        os.lchown(one, OWNER, OWNER)


def _as_owner(state: State, *words: str, **options: Any) -> Result:
    """The owner's own call, who has a passphrase file too."""
    own = state.path.parent / "own-key-file"
    shutil.copy(state.passphrase_file, own)
    os.chown(own, OWNER, OWNER)
    return State(state.path, own).run(*words, before=partial(become, OWNER), **options)


def _roots(path: Path) -> list[Path]:
    return [one for one in (path, *path.rglob("*")) if one.lstat().st_uid != OWNER]


def test_nothing_is_left_that_locks_the_owner_out(plant: State) -> None:
    commands = (
        "config set generations_kept 5",
        "register a b --results {}/results.csv",
        "deliver a",
        "revoke a",
        "renew b",
        "gen-crl",
        "broker issue broker.test",
        "topics add b readwrite:x/y",
        "sync-acl",
        "pack --out {}/a.package",
        "export b --format pem --out {}/b.pem",
        "backup {}/backup.zip",
        "retire b",
        "ca rollover begin",
        "purge press-17",
        "accept-clock",
        "health --repair",
    )
    for command in commands:
        plant.run(*command.format(plant.path).split(), expect=(0, 2))
        assert _roots(plant.path) == [], command
    assert _as_owner(plant, "revoke", "press-17").exit_code == 0
    operators = {row["operator"] for row in plant.run("audit", "show", "--all", "--json").json_lines}
    assert operators == {"root (uid 0)", "uid 12345"}  # who it was, the trail says all the same


def test_what_root_left_is_told_with_what_to_type(plant: State) -> None:
    """A call of an earlier version, say. Root can still revoke, and the owner learns why it cannot."""
    os.chown(plant.path / "devices.db", 0, 0)
    revoked = plant.run("revoke", "press-17")
    assert f"chown -R {OWNER}:{OWNER} {plant.path}" in revoked.stderr
    refused = _as_owner(plant, "gen-crl", expect=8)
    assert f"sudo chown -R {OWNER} {plant.path / 'devices.db'}" in refused.stderr
    _give(plant.path)
    os.chown(plant.device("press-17"), 0, 0)
    refused = _as_owner(plant, "register", "press-17", "--if-exists", "reissue", expect=8)
    assert f"sudo chown -R {OWNER} {plant.device('press-17')}" in refused.stderr


def test_files_that_root_owns_are_replaced_by_the_owner_where_their_readers_stay(plant: State) -> None:
    for path in (plant.acl, plant.crl, plant.ca_cert):
        os.chown(path, 0, 0)
        path.chmod(0o644)
    _as_owner(plant, "revoke", "press-17")
    assert "user press-17\n" not in plant.acl.read_text()
    os.chown(plant.acl, 0, 0)
    plant.acl.chmod(0o640)  # for a group that the owner is not in
    assert "mosquitto.acl" in _as_owner(plant, "register", "other", expect=8).stderr
    assert plant.acl.stat().st_gid == 0


def test_a_broker_s_owner_and_mode_are_set_as_root_does(plant: State) -> None:
    plant.run("config", "set", "broker.user", "nobody")
    plant.run("config", "set", "broker.mode", "0600")
    (plant.path / "crl").mkdir()
    plant.run("config", "set", "broker_crl_file", plant.path / "crl" / "crl.pem")
    plant.path.chmod(0o711)
    _give(plant.path)
    (plant.path / "crl").chmod(0o711)
    plant.run("revoke", "press-17")
    found = (plant.path / "crl" / "crl.pem").stat()
    assert (found.st_uid, found.st_mode & 0o777) == (65534, 0o600)


def test_a_command_of_the_state_is_root_s_only_where_root_trusts_the_state_by_name(plant: State, folder: Path) -> None:
    made = folder / "open"
    made.mkdir()
    made.chmod(0o777)
    plant.run("config", "set", "broker.reload", f"command:/bin/sh -c 'id -u >{made}/$$; id -G >>{made}/$$'")
    for trusted, who in ({}, OWNER), ({"IOTONBOARD_TRUSTED_STATES": str(plant.path)}, 0):
        plant.run("gen-crl", "--reload", env=trusted)
        (found,) = made.iterdir()
        assert (found.stat().st_uid, found.read_text()) == (who, f"{who}\n{who}\n")
        found.unlink()
    plant.run("config", "set", "broker.reload", "command:/bin/false")
    assert "trusted-states" in plant.run("gen-crl", "--reload", expect=8).stderr


def test_what_the_caller_names_in_a_place_of_root_s_is_root_s_own(plant: State, folder: Path) -> None:
    """Not what the settings name, who are the owner's: they could name any file of the system."""
    private = folder / "of-root"
    private.mkdir(0o700)
    plant.run("backup", private / "backup.zip")
    plant.run("export", "press-17", "--format", "pem", "--out", private / "press-17.pem")
    assert [one.stat().st_uid for one in private.iterdir()] == [0, 0]
    plant.run("config", "set", "broker_acl_file", private / "acl", expect=None)
    plant.run("register", "other", "--results", private / "results.csv", expect=None)
    assert (private / "results.csv").exists()
    assert not (private / "acl").exists()


def test_a_list_that_root_alone_may_read_is_read_by_root(plant: State, folder: Path) -> None:
    rows = folder / "list.csv"
    rows.write_text("device_id\npress-18\n")
    rows.chmod(0o600)
    plant.run("register", "--batch", rows)
    plant.run("renew", "--batch", rows)
    plant.run("revoke", "--batch", rows)
    assert _roots(plant.path) == []


def test_a_state_is_made_in_the_owner_s_empty_folder(folder: Path) -> None:
    state = State(folder / "new", folder / "key-file")
    state.path.mkdir()
    _give(state.path)
    state.run("init-ca", "--generate-key-file", state.passphrase_file, env={"IOTONBOARD_PASSPHRASE_FILE": None})
    assert _roots(state.path) == []
    assert _as_owner(state, "register", "a").exit_code == 0
