"""Root writes where the broker's user may write too: whatever that user plants there leads root nowhere.

As ``test_broker_user.py`` tries ``apply``, this tries what a state publishes, and the files that a command is told to
write. Afterwards nothing that is root's alone has changed, and nothing of it can be read in the user's folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from support.faults import become
from support.program import State, snapshot

BROKER = 12346
SECRET = "# a secret of root's\nuser admin\ntopic read #\n"
PUBLISHED = ("mosquitto.acl", "crl.pem", "ca.crt")
WRITTEN = ("plant.iotpkg", "receipt", "backup", "results.csv", "passwords.csv", "report.html", "labels.svg")
pytestmark = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="works as other users: needs root"
)


@pytest.fixture
def home() -> Iterator[Path]:
    """The broker's user's, in a place that everybody can reach; ``private`` beside it is root's."""
    around = Path(tempfile.mkdtemp())
    around.chmod(0o755)
    private = around / "private"
    private.mkdir(mode=0o700)
    for name in (*PUBLISHED, *WRITTEN, "secret", "broker.key", "broker.crt", "mosquitto.conf"):
        (private / name).write_text(SECRET)
        (private / name).chmod(0o600)
    (folder := around / "home").mkdir()
    os.chown(folder, BROKER, BROKER)
    yield folder
    shutil.rmtree(around)


@pytest.fixture
def state(state: State, home: Path) -> State:
    """A state of root's that publishes into the home."""
    state.register("press-1", "press-2", "press-3")
    for key, name in zip(("broker_acl_file", "broker_crl_file", "broker_ca_file"), PUBLISHED, strict=True):
        state.run("config", "set", key, home / name)
    state.run("gen-crl")
    return state


def unharmed(home: Path) -> Callable[[], None]:
    """What is compared afterwards."""
    private = home.parent / "private"
    before = snapshot(private)

    def check() -> None:
        assert snapshot(private) == before
        assert not private.is_symlink()
        for path in home.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1:
                assert b"secret" not in path.read_bytes(), path

    return check


def link(path: Path, private: Path) -> None:
    path.symlink_to(private / path.name)


def fifo(path: Path, private: Path) -> None:
    os.mkfifo(path)


def folder_there(path: Path, private: Path) -> None:
    (path / "deep").mkdir(parents=True)


def hard_link(path: Path, private: Path) -> None:
    os.link(private / path.name, path)


def device(path: Path, private: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))


KINDS = (link, fifo, folder_there, hard_link, device)
Plant = Callable[[Path, Path], None]


def plant(path: Path, what: Plant) -> None:
    path.unlink(missing_ok=True)
    what(path, path.parent.parent / "private")
    os.lchown(path, BROKER, BROKER) if what in (link, fifo, folder_there) else None


@pytest.mark.parametrize("what", KINDS)
def test_what_is_published_goes_through_nothing_that_was_planted(state: State, home: Path, what: Plant) -> None:
    check = unharmed(home)
    for number, name in enumerate(PUBLISHED[:2], start=1):
        right = (home / name).read_bytes()
        plant(home / name, what)
        is_replaced = what is hard_link and name == "crl.pem"  # of which nothing is read
        said = state.run("revoke", f"press-{number}", expect=0 if is_replaced else 8).stderr
        check()
        assert is_replaced or str(home / name) in said
        shutil.rmtree(home / name) if what is folder_there else (home / name).unlink()
        (home / name).write_bytes(right)
    assert [one["status"] for one in state.run("list", "--json").json_lines] == ["revoked", "revoked", "active"]
    state.run("gen-crl")
    state.run("sync-acl")
    assert b"press-3" in (home / "mosquitto.acl").read_bytes()


WAYS: dict[str, tuple[str, ...]] = {
    "plant.iotpkg": ("pack", "--force", "--out", "{}"),
    "backup": ("backup", "{}"),
    "results.csv": ("register", "press-9", "--results", "{}"),
    "passwords.csv": ("register", "press-9", "--passwords-to", "{}"),
    "report.html": ("report", "--out", "{}", "--force"),
    "labels.svg": ("labels", "press-2", "--out", "{}", "--force"),
}


@pytest.mark.parametrize("what", KINDS)
@pytest.mark.parametrize("name", WAYS)
def test_a_file_that_is_named_is_written_there_or_nowhere(state: State, home: Path, name: str, what: Plant) -> None:
    check = unharmed(home)
    plant(home / name, what)
    state.run(*(word.format(home / name) for word in WAYS[name]), expect=None)
    check()
    if what is device:
        assert stat.S_ISCHR((home / name).lstat().st_mode)


def test_a_link_in_the_place_of_a_folder_leads_root_nowhere(state: State, home: Path) -> None:
    check = unharmed(home)
    private = home.parent / "private"
    (home / "mosquitto").symlink_to(private)
    os.lchown(home / "mosquitto", BROKER, BROKER)
    for words in (
        ("pack", "--out", home / "mosquitto" / "new.iotpkg"),
        ("broker", "issue", "broker.example", "--for", home / "mosquitto", "--user", str(BROKER)),
        ("export", "press-2", "--format", "pem", "--out", home / "mosquitto" / "out"),
        ("deliver", "press-2", "--to", home / "mosquitto"),
        ("verify", "--acl", home / "mosquitto" / "secret", "--crl", state.crl),
    ):
        result = state.run(*words, expect=None)
        assert result.exit_code not in (0, 1), result
        assert "user admin" not in result.stderr + result.stdout
        check()
    state.run("config", "set", "broker_acl_file", home / "mosquitto" / "x.acl")
    assert f"rm {home / 'mosquitto'}" in state.run("sync-acl", expect=8).stderr
    check()


def test_a_home_that_changes_all_the_time(state: State, home: Path) -> None:
    """Between look and use: another process exchanges the folder and all that is in it, as fast as it can."""
    check = unharmed(home)
    (folder := home / "mosquitto").mkdir()
    os.chown(folder, BROKER, BROKER)
    for key, name in zip(("broker_acl_file", "broker_crl_file", "broker_ca_file"), PUBLISHED, strict=True):
        state.run("config", "set", key, folder / name)
    state.run("gen-crl")
    swapping = os.fork()
    if swapping == 0:
        become(BROKER)
        while True:
            _swap(folder, home.parent / "private")
    try:
        for number in range(4):
            for words in (
                ("topics", "add", "press-2", f"read:plant/{number}"),
                ("gen-crl", "--here"),
                ("sync-acl", "--here"),
                ("pack", "--force", "--out", folder / "plant.iotpkg"),
                ("broker", "issue", f"b{number}.example", "--for", folder / "b", "--user", str(BROKER)),
            ):
                result = state.run(*words, expect=None)
                assert result.exit_code != 1, result
    finally:
        os.kill(swapping, signal.SIGKILL)
        os.waitpid(swapping, 0)
    check()


def _swap(folder: Path, private: Path) -> None:
    away = folder.with_name("away")
    steps: list[Callable[[], object]] = [
        partial(folder.rename, away),
        partial(folder.symlink_to, private),
        folder.unlink,
        partial(away.rename, folder),
    ]
    for name in (*PUBLISHED, "plant.iotpkg", "b", "b/broker.key"):
        path = folder / name
        new = path.with_name("new")
        steps += [partial(new.symlink_to, private / path.name), partial(new.rename, path), path.unlink]
    for step in steps:
        with contextlib.suppress(OSError):
            step()
