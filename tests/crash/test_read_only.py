"""A state on a disk that cannot be written: whatever only looks does so, and nothing says that it changed something."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.earlier_versions import make_earlier_state
from support.program import State, make_state, snapshot

LOOKING = (
    ("list",),
    ("list", "--json"),
    ("show", "press-1"),
    ("health", "--check", "crl"),
    ("health", "--deep"),
    ("verify",),
    ("verify", "press-1"),
    ("expiring",),
    ("report", "--out", "-"),
    ("audit", "show"),
    ("audit", "verify"),
    ("audit", "head"),
    ("audit", "show", "--unsealed"),
    ("broker", "list"),
    ("deliveries",),
    ("topics", "list", "press-1"),
    ("generations",),
    ("config", "show"),
    ("ca", "status"),
    ("ca", "rollover"),
    ("sync-acl", "--check"),
)
CHANGING = (
    ("register", "press-9"),
    ("revoke", "press-1"),
    ("revoke", "press-1", "--defer"),
    ("gen-crl",),
    ("sync-acl",),
    ("purge", "press-1"),
    ("config", "set", "cert_validity_days", "10"),
    ("health", "--repair"),
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "mode=0700", "tmpfs", disk]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"may not mount here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def read_only(state: State, disk: Path) -> State:
    """The same state on a disk that is mounted read-only."""
    shutil.copytree(state.path, disk / "state", dirs_exist_ok=True)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    return State(disk / "state", state.passphrase_file)


def test_what_looks_works_and_what_changes_says_why_not(state: State, disk: Path) -> None:
    state.register("press-1", "press-2")
    state.run("revoke", "press-2")
    state.run("deliver", "press-1")
    frozen = read_only(state, disk)
    before = snapshot(disk)
    for words in LOOKING:
        frozen.run(*words)
    for words in CHANGING:
        said = frozen.run(*words, expect=(0, 8) if words[-1] == "--repair" else 8).stderr
        assert "cannot be written" in said or words[-1] == "--repair"
        assert "remount,rw" in said or words[-1] == "--repair"
    assert snapshot(disk) == before
    checks = {one["name"]: one for one in frozen.run("health", "--json", expect=9).json["checks"]}
    assert checks["disk"]["status"] == "failed"
    assert "cannot be written" in checks["disk"]["message"]


@pytest.mark.parametrize("has_index", [True, False])
def test_what_a_crash_left_in_the_log_is_seen(state: State, disk: Path, has_index: bool) -> None:
    """As after a power cut, when the disk comes back read-only: committed rows lie in the log alone."""
    with closing(sqlite3.connect(state.path / "devices.db")) as reader:
        reader.execute("SELECT * FROM device").fetchall()  # keeps the log from being folded
        state.register("press-1")
        (disk / "state").mkdir()
        for suffix in ("", "-wal", *(["-shm"] if has_index else [])):
            shutil.copy(f"{state.path}/devices.db{suffix}", f"{disk}/state/devices.db{suffix}")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    frozen = State(disk / "state", state.passphrase_file)
    assert "press-1" in frozen.run("list").stdout
    frozen.run("audit", "verify")
    assert "cannot be written" in frozen.run("revoke", "press-1", "--defer", expect=8).stderr


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_state_of_an_older_version_is_seen_and_stays_as_it_is(disk: Path, tmp_path: Path, version: int) -> None:
    frozen = read_only(make_earlier_state(version, tmp_path), disk)
    before = snapshot(disk)
    assert frozen.run("list").stdout
    frozen.run("health", expect=(0, 9))
    assert "cannot be written" in frozen.run("gen-crl", expect=8).stderr
    assert snapshot(disk) == before


@pytest.mark.parametrize("has_index", [True, False])
def test_a_log_of_another_database_is_not_read_as_if_it_were_the_states_own(
    state: State, disk: Path, tmp_path: Path, has_index: bool
) -> None:
    state.register("press-1")
    (tmp_path / "other").mkdir()
    other = make_state(tmp_path / "other")
    shutil.copytree(state.path, disk / "state")
    with closing(sqlite3.connect(other.path / "devices.db")) as reader:
        reader.execute("SELECT * FROM device").fetchall()  # keeps the log from being folded
        other.register("other-1")
        for suffix in ("-wal", *(["-shm"] if has_index else [])):
            shutil.copy(f"{other.path}/devices.db{suffix}", f"{disk}/state/devices.db{suffix}")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    said = State(disk / "state", state.passphrase_file).run("list", expect=3)
    assert "the log of another database" in said.stderr
    assert "other-1" not in said.stdout
