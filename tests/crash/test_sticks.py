"""Sticks whose modes and owners the mount decides: all that is carried can be written there, and is said to be open."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from iotonboard.disk.files import make_dir, write_atomic
from iotonboard.disk.permissions import Placement

from support.faults import mount_decides
from support.program import PROGRAM, State, program_environment

_SAID = "keeps no rights of its own"


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    (tmp_path / "stick").mkdir()
    return tmp_path / "stick"


@pytest.mark.parametrize("refusing", [False, True])
def test_everything_that_is_carried(state: State, stick: Path, refusing: bool) -> None:
    fat = mount_decides(stick, refusing=refusing)
    state.register("d-1")
    state.run("broker", "issue", "localhost")
    for words in (
        ("register", "d-2", "--passwords", stick / "passwords.csv"),
        ("register", "d-3", "--passwords", stick / "passwords.csv"),
        ("register", "--count", "3", "--results", stick / "results.csv"),
        ("register", "d-4", "--format", "pem", "--out", stick / "credentials"),
        ("export", "d-1", "--format", "pem-chain", "--out", stick / "d-1.pem"),
        ("deliver", "d-1", "--to", stick),
        ("backup", stick / "backup.zip"),
    ):
        result = state.run(*words, before=fat)
        assert result.stderr.count(_SAID) == 1, result
    state.run("pack", "--out", stick / "package", before=fat)
    for words in (("audit", "head", "--out", stick / "head"), ("labels", "d-1", "--out", stick / "labels.svg")):
        assert state.run(*words, before=fat, expect=None).exit_code in (0, 2)
    assert "d-2" in (stick / "passwords.csv").read_text()
    assert "d-3" in (stick / "passwords.csv").read_text()


def test_a_ca_on_a_stick(stick: Path, tmp_path: Path) -> None:
    fat = mount_decides(stick, refusing=True)
    state = State(tmp_path / "s", tmp_path / "key")
    outside = {"CA_ROOT_PATH": str(stick / "ca"), "IOTONBOARD_PASSPHRASE_FILE": None}
    words = ("init-ca", "--generate-key-file", state.passphrase_file)
    assert state.run(*words, before=fat, env=outside).stderr.count(_SAID) == 1
    outside.pop("IOTONBOARD_PASSPHRASE_FILE")
    state.run("register", "d-1", before=fat, env=outside)
    state.run("revoke", "d-1", before=fat, env=outside)
    said = state.run("health", "--json", before=fat, env=outside, expect=(0, 9)).stdout
    assert "its disk keeps no modes" in said
    assert "chmod" not in said


@pytest.mark.parametrize("refusing", [False, True])
def test_a_passphrase_on_a_stick(stick: Path, tmp_path: Path, refusing: bool) -> None:
    """The disk is named once in each call, and nobody is told to give what it does not keep."""
    fat = mount_decides(stick, refusing=refusing)
    state = State(tmp_path / "s", stick / "key")
    words = ("init-ca", "--generate-key-file", state.passphrase_file)
    state.run(*words, before=fat, env={"IOTONBOARD_PASSPHRASE_FILE": None})
    package, results = stick / "package", stick / "results.csv"
    for call in (
        ("register", "a", "--results", results),
        ("register", "a", "--if-exists", "skip", "--results", results),
        ("backup", stick / "backup.zip"),
        ("restore", stick / "backup.zip", "--check"),
        ("pack", "--out", package),
        ("pack", "--out", package, "--force"),
        ("ca", "passwd", "--generate-key-file", stick / "key-2"),
    ):
        said = state.run(*call, before=fat).stderr
        assert said.count(_SAID) == 1, said
        assert "chmod" not in said
    assert results.read_text().count("\n") == 2


def test_a_disk_with_modes_refuses_a_file_that_others_read(state: State, tmp_path: Path) -> None:
    path = tmp_path / "passwords.csv"
    path.touch(mode=0o644)
    assert "chmod 600" in state.run("register", "d-1", "--passwords", path, expect=4).stderr


def test_nothing_is_said_where_modes_are_kept(state: State, tmp_path: Path) -> None:
    assert _SAID not in state.run("register", "d-1", "--passwords", tmp_path / "passwords.csv").stderr


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
def test_an_owner_that_cannot_be_given(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not matter to who reads the file: the mode lets everybody, or the old file stays."""

    def refuse(*_args: object) -> None:
        raise OSError(number, os.strerror(number))

    if os.geteuid():
        pytest.skip("only root may give files away")
    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(os, "fchown", refuse)
    with pytest.raises(Exception, match="cannot write"):
        write_atomic(str(path), b"new", Placement(0o640, 1, 1))
    assert path.read_text() == "old"


def test_a_folder_that_cannot_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncing = os.fsync

    def sync_files(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        syncing(descriptor)

    monkeypatch.setattr(os, "fsync", sync_files)
    make_dir(str(tmp_path / "folder"), 0o755)
    write_atomic(str(tmp_path / "folder" / "file"), b"new")
    assert (tmp_path / "folder" / "file").read_bytes() == b"new"


# -- the kernel's own answers -----------------------------------------------------------------------------------------


def test_calls_that_the_kernel_refuses(state: State, tmp_path: Path) -> None:
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    calls = "chmod,fchmod,fchmodat,chown,fchown,fchownat"
    words = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"inject={calls}:error=EPERM", *PROGRAM]
    if subprocess.run([*words[:5], "-e", "trace=none", "true"], check=False).returncode:
        pytest.skip("may not trace here")
    for more in (("register", "d-1", "--passwords", tmp_path / "p.csv"), ("backup", tmp_path / "b.zip")):
        environment = program_environment(state=state)
        done = subprocess.run([*words, *more], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def vfat(tmp_path: Path) -> Iterator[Path]:
    """A real FAT, where this machine has one."""
    if not shutil.which("mkfs.vfat"):
        pytest.skip("mkfs.vfat is not installed (package dosfstools on Debian)")
    image, disk = tmp_path / "image", tmp_path / "disk"
    disk.mkdir()
    image.write_bytes(bytes(64 << 20))
    subprocess.run(["mkfs.vfat", image], check=True, capture_output=True)
    done = subprocess.run(["mount", "-o", "loop", image, disk], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no FAT can be mounted here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_real_fat(state: State, vfat: Path, tmp_path: Path) -> None:
    state.register("d-1")
    assert state.run("register", "d-2", "--passwords", vfat / "p.csv").stderr.count(_SAID) == 1
    state.run("backup", vfat / "backup.zip")
    state.run("pack", "--out", vfat / "package")
    state.run("deliver", "d-1", "--to", vfat)
    shutil.copy(state.crl, vfat / "crl.pem")
    state.run("restore", vfat / "backup.zip", "--crl", vfat / "crl.pem", "--state", tmp_path / "other")
