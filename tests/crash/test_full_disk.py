"""A full disk under every verb that writes: a documented exit, nothing called done that is not, nothing lost."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.program import Result, State, make_state

_PAGE = 4096
# The words, what must be there when they end with exit 0, and the words that finish it where they are others.
VERBS: tuple[tuple[str, str, str], ...] = (
    ("init-ca --state OUT", "OUT/devices.db", ""),
    ("register n", "certs/devices/n/creds.zip", "register n --if-exists skip"),
    ("register --batch LIST --if-exists skip --passwords OUT", "OUT", ""),
    ("register --count 2 --results OUT", "OUT", "register m"),
    ("register n --format pem --out OUT", "OUT/n", "register n --if-exists skip"),
    ("renew a", "", ""),
    ("renew --batch IDS --results OUT", "OUT", "renew a"),
    ("revoke a", "", ""),
    ("revoke --batch IDS", "", ""),
    ("retire a", "", ""),
    ("topics add a read:x", "", ""),
    ("purge a", "", ""),
    ("confirm a", "", ""),
    ("export a --format pem --out OUT", "OUT", ""),
    ("export --batch IDS --format pem --out OUT", "OUT/a", "list"),
    ("deliver a", "", ""),
    ("deliver a --to DISK", "DISK/a.zip", ""),
    ("labels a --out OUT.svg --page 100x50 --columns 1 --rows 1", "OUT.svg", ""),
    ("bundle open ZIP --password-file PASSWORD --out OUT", "OUT/device.key", ""),
    ("broker issue h", "certs/brokers/h/broker.key", ""),
    ("broker revoke localhost", "", ""),
    ("gen-crl", "certs/crl.pem", ""),
    ("sync-acl --out OUT", "OUT", ""),
    ("pack --out OUT", "OUT", ""),
    ("journal --out OUT", "OUT", ""),
    ("apply PACK --ca CA --dest DEST --user root", "DEST/crl.pem", ""),
    ("config set cert_validity_days 30", "", ""),
    ("config write", "iotonboard.toml", ""),
    ("report --out OUT", "OUT", ""),
    ("expiring --ics OUT", "OUT", ""),
    ("audit head", "", ""),
    ("accept-clock", "", ""),
    ("ca passwd --generate-key-file OUT", "OUT", "list"),
    ("ca rollover begin", "", "ca status"),
    ("backup OUT", "OUT", ""),
    ("restore BACKUP --no-crl --state OUT", "OUT/devices.db", ""),
    ("health --repair", "", ""),
)
_FINDS = ("health", "expiring")  # what they look for may be there


def call(state: State, *words: str) -> Result:
    """In a process of its own: nothing that one call holds open keeps the disk."""
    return state.run(*words, expect=None)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A real file system of 80 MiB: health wants 64 of them free."""
    disk = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=80m,mode=0755", "tmpfs", disk]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"may not mount here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> State:
    folder = tmp_path_factory.mktemp("lived")
    state = make_state(folder)
    (made,) = state.register("a")
    state.register("b", "held")
    state.run("revoke", "held", "--reason", "certificateHold")
    state.run("broker", "issue", "localhost")
    state.run("backup", folder / "backup.zip")
    state.run("pack", "--out", folder / "package")
    shutil.copy(state.device("a") / "creds.zip", folder / "a.zip")
    (folder / "password").write_text(made["bundle_password"] + "\n")
    (folder / "list").write_text("device_id\nn1\nn2\nn3\n")
    (folder / "ids").write_text("device_id\na\nb\n")
    return state


def _words(line: str, lived: State, disk: Path) -> list[str]:
    beside = lived.path.parent
    known = {
        "OUT": disk / "out", "DISK": disk, "DEST": disk / "dest", "LIST": beside / "list", "IDS": beside / "ids",
        "ZIP": beside / "a.zip", "PASSWORD": beside / "password", "PACK": beside / "package", "CA": lived.ca_cert,
        "BACKUP": beside / "backup.zip",
    }  # fmt: skip
    words = []
    for word in line.split():
        name = word.replace("/", ".").partition(".")[0]
        words.append(word.replace(name, str(known[name]), 1) if name in known else word)
    return words


@pytest.fixture
def place(disk: Path) -> Iterator[Path]:
    """A folder on that disk, which has room again afterwards."""
    (disk / "place").mkdir()
    yield disk / "place"
    for path in disk.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("left", [0, 12])
@pytest.mark.parametrize(("line", "made", "again"), VERBS, ids=[line for line, _, _ in VERBS])
def test_a_full_disk(lived: State, place: Path, line: str, made: str, again: str, left: int) -> None:
    """Full before anything is written, and while it is."""
    (place / "dest").mkdir()
    state = lived.copy_to(place)
    words, keys = _words(line, lived, place), _keys(state)
    filler = place.parent / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, (os.statvfs(place).f_bavail - left) * _PAGE)
    result = call(state, *words)
    filler.unlink()
    finds = {9} if words[0] in _FINDS else set()
    assert result.exit_code in {0, 8} | finds, result
    assert "Traceback" not in result.stderr, result
    if result.exit_code == 8:
        assert "hint: " in result.stderr, result
    elif made:
        assert (state.path / _words(made, lived, place)[0]).exists(), result
    repeated = call(state, *_words(again or line, lived, place))
    is_there = {4} if result.exit_code == 0 else set()
    assert repeated.exit_code in {0} | is_there | finds, f"{result}\n{repeated}"
    assert {"a", "b", "held"} <= {one.split("\t")[0] for one in call(state, "list").stdout.splitlines()}
    assert keys <= _keys(state) or words[0] in ("purge", "retire")
    assert call(state, "audit", "verify").exit_code == 0


def _keys(state: State) -> set[str]:
    return {str(path.relative_to(state.path)) for path in state.path.rglob("*.key")}
