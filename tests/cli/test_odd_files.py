"""A FIFO, a socket, a device, a link that leads in a circle where a file or folder belongs: no hang, no traceback."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.in_process import call
from support.program import PROGRAM, Result, State, program_environment

_LONGEST_S = 20
_REFUSED = {2, 3, 4, 5, 6, 7, 8, 9}


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def _device(path: Path) -> None:
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(5, 0))  # reads from a terminal, if somebody opens it
    except PermissionError:
        pytest.skip("only root makes devices")


KINDS: dict[str, Callable[[Path], object]] = {
    "FIFO": os.mkfifo,
    "socket": _socket,
    "device": _device,
    "circle": lambda path: path.symlink_to(path),
}
# Options that take a file or folder. X is what stands there.
READS = """
register --batch X | register n --csr X | register --csr-dir X | register n --passphrase-file X | revoke --batch X
revoke --cert X | renew a --csr X | topics add --batch X read:y | confirm --batch X | broker issue h --csr X
bundle open X --out Y --password-file KEY | bundle open BUNDLE --out Y --password-file X | verify --cert X
verify a --acl X | verify a --crl X | verify a --ca X | verify --conf X | apply X --ca CA --dest Y
apply PACK --ca X --dest Y | apply PACK --ca CA --dest X | expiring --crl X | expiring --ca X | expiring --cert X
receipts X | audit verify --head X | ca replace --compromised --cert X --yes | ca passwd --new-passphrase-file X
restore X --no-crl --state Y | restore BACKUP --crl X --state Y | list --state X | revoke a --state X | deliver a --to X
config set ca_root_path X | config set broker_acl_file X | config set broker_crl_file X
"""
WRITES = """
register n --passwords X | register n --results X | register n --format pem --out X | renew a --passwords X
export a --format pem --out X | labels a --out X --page 100x50 --columns 1 --rows 1 --force | broker issue h --for X
sync-acl --out X | backup X | init-ca --state X | apply PACK --ca CA --dest DIR --receipt X
ca passwd --generate-key-file X | init-ca --state Y --generate-key-file X | restore BACKUP --no-crl --state X
"""
# What replaces a link, as a rename does, and nothing else than a file.
REPLACES = "pack --out X --force | report --out X --force | expiring --ics X | expiring --prometheus X"
PLACES = (
    "devices.db", "devices.db-wal", "devices.db-shm", "devices.db-journal", "certs", "certs/devices", "certs/brokers",
    "certs/ca.key", "certs/ca.crt", "certs/crl.pem", "mosquitto.acl", "generations", "outbox", "results",
    "iotonboard.toml",
)  # fmt: skip
VERBS = (
    "list", "config show", "revoke b", "register --batch LIST", "deliver a", "broker issue h", "health --deep --repair"
)  # fmt: skip


@pytest.fixture(scope="module")
def lived(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    folder = tmp_path_factory.mktemp("lived")
    state = pristine.copy_to(folder)
    state.register("a", "b")
    state.run("broker", "issue", "localhost")
    state.run("backup", folder / "backup.zip")
    state.run("pack", "--out", folder / "package")
    return state


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    """Whoever waits for the other end of a FIFO waits for ever."""

    def give_up(*_: object) -> None:
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(_LONGEST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _lines(table: str) -> list[str]:
    return [line.strip() for line in table.replace("\n", "|").split("|") if line.strip()]


def _call(lived: State, line: str, strange: Path, folder: Path) -> Result:
    state = lived.copy_to(folder)
    known = {
        "X": strange, "Y": folder / "y", "DIR": folder, "KEY": state.passphrase_file, "CA": state.ca_cert,
        "BUNDLE": state.device("a") / "creds.zip", "PACK": lived.path.parent / "package",
        "BACKUP": lived.path.parent / "backup.zip",
    }  # fmt: skip
    words = [str(known.get(word, word)) for word in line.split()]
    if "--generate-key-file" in words and "init-ca" in words:
        state = State(folder / "y", folder / "no-file")
    with _in_time():
        return call(state, *words)


@pytest.mark.parametrize("kind", KINDS)
def test_where_an_option_names_a_file(lived: State, tmp_path: Path, kind: str) -> None:
    wrong = []
    replaced = _lines(REPLACES) if kind != "circle" else []
    for number, line in enumerate([*_lines(READS), *_lines(WRITES), *replaced]):
        folder = tmp_path / str(number)
        folder.mkdir()
        strange = folder / "x"
        KINDS[kind](strange)
        before = strange.lstat()
        result = _call(lived, line, strange, folder)
        after = strange.lstat()
        is_same = (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
        if result.exit_code not in _REFUSED or "Traceback" in result.stderr or not is_same:
            wrong.append(str(result))
        if "there is no file" in result.stderr and "symbolic" not in result.stderr:
            wrong.append(f"not the reason: {result}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("kind", "places", "verbs"),
    [("FIFO", PLACES, VERBS), *((kind, PLACES[:5], ("list", "revoke b")) for kind in ("socket", "device", "circle"))],
)
def test_where_the_state_has_its_own(
    lived: State, tmp_path: Path, kind: str, places: tuple[str, ...], verbs: tuple[str, ...]
) -> None:
    """What can be recorded of a revocation is, whatever stands there."""
    (tmp_path / "list").write_text("device_id\nq1\n")
    wrong = []
    for number, place in enumerate(places):
        folder = tmp_path / str(number)
        folder.mkdir()
        state = lived.copy_to(folder)
        path = state.path / place
        if path.exists():
            path.rename(folder / "away")
        KINDS[kind](path)
        for line in verbs:
            with _in_time():
                result = call(state, *line.replace("LIST", str(tmp_path / "list")).split())
            codes = {0, 8} if line.startswith("revoke") and place != "devices.db" else {0, *_REFUSED}
            if result.exit_code not in codes or "Traceback" in result.stderr:
                wrong.append(f"{place}: {result}")
            if place.startswith("devices.db-") and line == "revoke b" and result.exit_code:
                wrong.append(f"{place}: {result}")
    assert not wrong, "\n".join(wrong)


def test_completion_and_config_do_not_wait_for_a_fifo(state: State) -> None:
    """Both look into the database without opening the state."""
    (state.path / "devices.db").unlink()
    os.mkfifo(state.path / "devices.db")
    state.run("config", "show", timeout_s=_LONGEST_S, expect=3)
    words = {"_IOTONBOARD_COMPLETE": "complete_bash", "COMP_WORDS": "iotonboard show ", "COMP_CWORD": "2"}
    environment = program_environment(state=state, env=words)
    subprocess.run(PROGRAM, env=environment, timeout=_LONGEST_S, check=False, capture_output=True)


def test_an_option_without_a_value_is_not_one_that_was_not_given(state: State, tmp_path: Path) -> None:
    """As where a script's variable is empty: a key was made here instead of reading the request."""
    for line in (
        "register n --csr", "register --count 1 --results", "verify --acl", "verify --crl", "sync-acl --out",
        "audit verify --head", "broker issue h --csr", "export a --out", "init-ca --state",
    ):  # fmt: skip
        *words, option = line.split()
        for given in ([option, ""], [f"{option}="]):
            result = call(state, *words, *given)
            assert (result.exit_code, result.stdout) == (2, "")
            assert f"{option} has an empty value" in result.stderr
    assert not call(state, "list").stdout
    assert call(state, "register", "n", "--name", "").exit_code == 0


def test_names_that_are_no_text_in_settings(state: State, tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/M\xfcller"))
    try:
        odd.mkdir()
    except OSError:
        pytest.skip("this disk takes no such name")
    for words in (
        ("config", "set", "ca_root_path", odd), ("config", "set", "broker_acl_file", odd / "acl"),
        ("broker", "issue", "h", "--for", odd / "b"),
    ):  # fmt: skip
        assert "is not UTF-8" in state.run(*words, expect=6).stderr
    assert state.run("config", "show").exit_code == 0
