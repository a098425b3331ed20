"""Each way to name what is revoked, each place of publication and each obstacle there, as root for another owner."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509

from support.program import State

OWNER = 12345
FIRST, SECOND = "press-1", "press-2"
pytestmark = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounts disks and works as another user: needs root"
)
# What is published -> where: each in a share of its own, but for what belongs to the state.
SHARES = ("crl", "acl", "ca")


def share(state: State, name: str) -> Path:
    return state.path.parent / "shares" / name


@pytest.fixture(scope="module")
def pattern(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    """Two devices, CRL, ACL and the broker's CA file on shares. Read only: copy it."""
    state = pristine.copy_to(tmp_path_factory.mktemp("pattern"))
    state.register(FIRST, SECOND)
    return state


@pytest.fixture
def plant(pattern: State, folder: Path) -> State:
    """The same as another user's state."""
    state = pattern.copy_to(folder)
    for name in SHARES:
        share(state, name).mkdir(parents=True)
    shutil.copy(state.acl, share(state, "acl") / "acl")
    state.run("config", "set", "broker_acl_file", share(state, "acl") / "acl")
    state.run("config", "set", "broker_crl_file", share(state, "crl") / "crl.pem")
    state.run("config", "set", "broker_ca_file", share(state, "ca") / "ca.crt")
    state.run("gen-crl")
    for path in (folder, *folder.rglob("*")):
        if path.name != "key-file":
            os.lchown(path, OWNER, OWNER)
    return state


@contextlib.contextmanager
def mounted(*words: str | Path) -> Iterator[None]:
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"may not mount here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", words[-1]], check=True)


@contextlib.contextmanager
def read_only(path: Path) -> Iterator[None]:
    with mounted("--bind", path, path):
        subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True)
        yield


@contextlib.contextmanager
def full(path: Path) -> Iterator[None]:
    content = {one.name: one.read_bytes() for one in path.iterdir()}
    with mounted("-t", "tmpfs", "-o", f"size=8k,uid={OWNER},gid={OWNER}", "none", path):
        for name, octets in content.items():
            (path / name).write_bytes(octets)
        (path / "filler").write_bytes(bytes(4096))
        yield


@contextlib.contextmanager
def missing(path: Path) -> Iterator[None]:
    away = path.with_name(f"{path.name} away")
    path.rename(away)
    yield
    away.rename(path)


@contextlib.contextmanager
def empty(path: Path) -> Iterator[None]:
    """As a mount point without its disk."""
    with missing(path):
        path.mkdir()
        os.chown(path, OWNER, OWNER)
        yield
        assert list(path.iterdir()) == []
        path.rmdir()


@contextlib.contextmanager
def of_another_owner(path: Path) -> Iterator[None]:
    for one in (path, *path.iterdir()):
        os.chown(one, 0, 0)
    yield
    for one in (path, *path.iterdir()):
        os.chown(one, OWNER, OWNER)


@contextlib.contextmanager
def immutable(path: Path) -> Iterator[None]:
    (file,) = path.iterdir()
    if subprocess.run(["chattr", "+i", file], capture_output=True, check=False).returncode:
        pytest.skip("this file system knows no immutable files")
    yield
    subprocess.run(["chattr", "-i", file], check=True)


OBSTACLES = (read_only, full, missing, empty, of_another_owner, immutable)


def listed(path: Path) -> set[str]:
    return {f"{one.serial_number:040X}" for one in x509.load_pem_x509_crl(path.read_bytes())}


@pytest.mark.parametrize("obstacle", OBSTACLES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("name", ["crl", "acl"])
def test_one_share_at_a_time(plant: State, name: str, obstacle: Callable) -> None:
    """Recorded, what can be is published, the rest is named, and the next command finishes it."""
    crl, acl = share(plant, "crl") / "crl.pem", share(plant, "acl") / "acl"
    with obstacle(share(plant, name)):
        done = plant.run("revoke", FIRST, "--json", expect=8).json
        (serial,) = done["serials"]
        assert [one["what"] for one in done["unpublished"]] == [name]
        assert plant.json("show", FIRST)["status"] == "revoked"
        if name == "crl":
            assert f"user {FIRST}\n" not in acl.read_text()
        else:
            assert listed(crl) == {serial}
    plant.run("sync-acl", env={"IOTONBOARD_PASSPHRASE_FILE": None})
    assert listed(crl) == {serial}
    assert f"user {FIRST}\n" not in acl.read_text()
    assert [one for one in plant.path.rglob("*") if one.lstat().st_uid != OWNER] == []


FORMS: dict[str, Callable[[State], tuple[str | Path, ...]]] = {
    "ids": lambda state: ("revoke", FIRST),
    "--serial": lambda state: ("revoke", "--serial", state.json("show", FIRST)["certificates"][0]["serial"]),
    "--cert": lambda state: ("revoke", "--cert", state.device(FIRST) / "device.crt"),
    "--batch": lambda state: ("revoke", "--batch", state.path.parent / "list"),
    "--defer": lambda state: ("revoke", FIRST, "--defer"),
    "retire": lambda state: ("retire", FIRST),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_with_all_shares_read_only(plant: State, form: str) -> None:
    (plant.path.parent / "list").write_text(f"{FIRST}\n")
    words = FORMS[form](plant)
    with contextlib.ExitStack() as stack:
        for name in SHARES:
            stack.enter_context(read_only(share(plant, name)))
        done = plant.run(*words, "--json", expect=8).json
        assert {one["what"] for one in done["unpublished"]} == ({"acl"} if form == "--defer" else {"crl", "acl"})
        assert plant.json("show", FIRST)["status"] in ("revoked", "retired")
        for again in (("gen-crl",), ("sync-acl",), ("retire", SECOND)):
            told = plant.json(*again, expect=8)
            assert {one["what"] for one in told["unpublished"]} == {"crl", "acl"}
    plant.run("sync-acl")
    assert len(listed(share(plant, "crl") / "crl.pem")) == 2
    assert "user press" not in (share(plant, "acl") / "acl").read_text()


@pytest.mark.parametrize("obstacle", [read_only, empty, of_another_owner], ids=lambda one: one.__name__)
def test_a_release_with_broken_shares_is_recorded_and_published_later(plant: State, obstacle: Callable) -> None:
    plant.run("revoke", FIRST, SECOND, "--reason", "certificateHold")
    with contextlib.ExitStack() as stack:
        for name in ("crl", "acl"):
            stack.enter_context(obstacle(share(plant, name)))
        done = plant.run("release", FIRST, "--json", expect=8)
        assert {one["what"] for one in done.json["unpublished"]} == {"crl", "acl"}
        assert "next: " not in done.stderr
        assert plant.json("show", FIRST)["status"] == "active"
    plant.run("sync-acl", env={"IOTONBOARD_PASSPHRASE_FILE": None})
    assert len(listed(share(plant, "crl") / "crl.pem")) == 1
    acl = (share(plant, "acl") / "acl").read_text()
    assert (f"user {FIRST}\n" in acl, f"user {SECOND}\n" in acl) == (True, False)
