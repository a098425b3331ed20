"""A share where locks do not work is no place for a state."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from iotonboard.disk.permissions import file_system, mount_decides
from iotonboard.state.share import network_kind

from support.program import State
from support.tools import run_tool

# What a share without a lock daemon does (mount option 'nolock', many FUSE programs): every lock succeeds.
_LOCKS_SUCCEED = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#define F_SETLK 6
#define F_SETLKW 7
static int call(const char *name, int fd, int command, void *argument) {
    int (*next)(int, int, ...) = dlsym((void *)-1, name);
    return command == F_SETLK || command == F_SETLKW ? 0 : next(fd, command, argument);
}
#define BODY(name) \\
    va_list list; va_start(list, command); void *argument = va_arg(list, void *); va_end(list); \\
    return call(name, fd, command, argument);
int fcntl(int fd, int command, ...) { BODY("fcntl") }
int fcntl64(int fd, int command, ...) { BODY("fcntl64") }
"""


@pytest.fixture(scope="module")
def without_locks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("locks")
    (folder / "locks.c").write_text(_LOCKS_SUCCEED)
    run_tool("gcc", "-shared", "-fPIC", "-o", folder / "locks.so", folder / "locks.c", "-ldl")
    return {"LD_PRELOAD": str(folder / "locks.so")}


def test_no_state_is_made_where_every_lock_succeeds(tmp_path: Path, without_locks: dict[str, str]) -> None:
    state = State(tmp_path / "state", tmp_path / "key-file")
    state.passphrase_file.write_text(secrets.token_hex(32) + "\n")
    state.passphrase_file.chmod(0o600)
    refused = state.run("init-ca", env=without_locks, expect=3)
    assert "locks do not work" in refused.stderr
    assert "backup" in refused.stderr
    assert not state.path.exists()
    state.run("init-ca")
    found = {
        one["name"]: one for one in state.json("health", "--check", "locks", env=without_locks, expect=9)["checks"]
    }
    assert (found["locks"]["status"], "locks do not work" in found["locks"]["message"]) == ("failed", True)
    assert "backup" in found["locks"]["hint"]


def test_no_backup_comes_back_where_every_lock_succeeds(tmp_path: Path, without_locks: dict[str, str]) -> None:
    state = State(tmp_path / "state", tmp_path / "key-file")
    state.passphrase_file.write_text(secrets.token_hex(32) + "\n")
    state.passphrase_file.chmod(0o600)
    state.run("init-ca")
    state.run("backup", tmp_path / "b.zip")
    other = State(tmp_path / "other", state.passphrase_file)
    refused = other.run("restore", tmp_path / "b.zip", "--no-crl", env=without_locks, expect=3)
    assert "locks do not work" in refused.stderr
    assert not other.path.exists()
    other.run("restore", tmp_path / "b.zip", "--no-crl")


def test_what_init_ca_found_there_stays(tmp_path: Path, without_locks: dict[str, str]) -> None:
    state = State(tmp_path / "state", tmp_path / "key-file")
    state.path.mkdir()
    (state.path / "notes").write_text("not ours")
    state.passphrase_file.write_text(secrets.token_hex(32) + "\n")
    state.run("init-ca", env=without_locks, expect=3)
    assert [one.name for one in state.path.iterdir()] == ["notes"]


def test_on_a_disk_of_this_machine_a_child_is_kept_out(state: State) -> None:
    (found,) = state.json("health", "--check", "locks")["checks"]
    assert (found["status"], found["message"]) == ("ok", "a second process was kept from writing, as it has to be")


# A line of /proc/self/mountinfo for each, and what lies there.
KINDS = {
    "nfs4": "nfs4", "cifs": "cifs", "smb3": "smb3", "9p": "9p", "fuse.sshfs": "fuse.sshfs",
    "fuse.gvfsd-fuse": "fuse.gvfsd-fuse",
    "ext4": "", "tmpfs": "", "vfat": "", "fuseblk": "", "fuse.gocryptfs": "", "overlay": "",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_file_system_is_known_by_its_kind(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mountinfo"
    place = str(tmp_path / "a share").replace(" ", "\\040")
    table.write_text(
        "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        f"40 21 0:40 / {place} rw,relatime shared:2 - {kind} server:/export rw\n"
        f"41 21 0:41 / {place}-2 rw - ext4 /dev/sdb1 rw\n"
    )
    path = str(tmp_path / "a share" / "new" / "devices.db")
    assert file_system(path, str(table)) == kind
    assert file_system(str(tmp_path / "a share-2" / "x"), str(table)) == "ext4"
    assert file_system(path, str(tmp_path / "none")) == ""
    monkeypatch.setattr(file_system, "__defaults__", (str(table),))
    assert network_kind(path) == KINDS[kind]
    assert mount_decides(path) == (kind in ("vfat", "fuseblk"))
