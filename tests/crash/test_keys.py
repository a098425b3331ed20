"""Keys: missing, swapped or mismatched ones are named; secrets are nowhere in the clear; modes ignore the umask."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from functools import partial
from pathlib import Path

import pytest
from iotonboard.errors import KeyUnavailableError
from iotonboard.pki.keys import dump_key, load_key

from support.program import PROGRAM, State, make_state, program_environment, write_key_file
from support.tools import run_tool

# strace writes the name of what a descriptor is; workers answer through pipes, which are no files.
_PIPE_HEX = "".join(f"\\\\x{octet:02x}" for octet in b"pipe:")
_TO_A_PERSON_OR_PIPE = re.compile(rf"write\([12]<|<pipe:|<{_PIPE_HEX}")
_SIGNING = (
    ("register", "x"),
    ("renew", "x"),
    ("gen-crl",),
    ("broker", "issue", "broker.test"),
    ("ca", "rollover", "begin"),
    ("ca", "passwd", "--generate-key-file", "NEW"),
)


def _words(words: tuple[str, ...], folder: Path) -> list[str]:
    return [str(folder / "fresh-key-file") if word == "NEW" else word for word in words]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> State:
    """Another CA, whose key opens with a passphrase of its own."""
    return make_state(tmp_path_factory.mktemp("other"))


def _missing(state: State, _: State) -> None:
    (state.certs / "ca.key").unlink()


def _of_another_ca(state: State, other: State) -> None:
    shutil.copy(other.certs / "ca.key", state.certs / "ca.key")
    shutil.copy(other.passphrase_file, state.passphrase_file)


def _of_a_broker(state: State, _: State) -> None:
    password = state.json("broker", "issue", "b.test")["key_password"]
    shutil.copy(state.certs / "brokers" / "b.test" / "broker.key", state.certs / "ca.key")
    state.passphrase_file.write_text(password + "\n")


def _garbage(state: State, _: State) -> None:
    (state.certs / "ca.key").write_bytes(
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )


def _wrong_passphrase(state: State, _: State) -> None:
    write_key_file(state.passphrase_file)


@pytest.mark.parametrize("damage", [_missing, _of_another_ca, _of_a_broker, _garbage, _wrong_passphrase])
def test_a_key_that_does_not_fit_is_exit_7(state: State, other: State, tmp_path: Path, damage: object) -> None:
    state.register("here")
    damage(state, other)
    before = state.snapshot()
    for words in _SIGNING:
        words = ("renew", "here") if words[0] == "renew" else words  # noqa: PLW2901 - what is not there is refused first
        result = state.run(*_words(words, tmp_path), expect=7)
        assert "iotonboard: hint: " in result.stderr, result
    assert state.snapshot() == before


@pytest.mark.parametrize(
    "key_type", ["ec-p256", "ec-p384", "ed25519", pytest.param("rsa-4096", marks=pytest.mark.long)]
)
def test_passwd_changes_the_passphrase_and_nothing_else(tmp_path: Path, key_type: str) -> None:
    state = make_state(tmp_path, "--key-type", key_type)
    state.register("a")
    key = state.certs / "ca.key"
    old = state.passphrase_file.read_bytes().strip()
    plain = dump_key(load_key(key.read_bytes(), old))
    human = tmp_path / "human"
    human.write_text("correct horse battery\n")
    state.run("ca", "passwd", "--new-passphrase-file", human)
    assert dump_key(load_key(key.read_bytes(), b"correct horse battery")) == plain
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    shown = run_tool("openssl", "asn1parse", "-in", key).stdout
    assert "PBES2" in shown
    assert "aes-256-cbc" in shown
    assert ":0927C0" in shown, "600 000 rounds for a human's passphrase"
    state.run("register", "b", expect=7)
    State(state.path, human).register("b")
    made = tmp_path / "made"
    State(state.path, human).run("ca", "passwd", "--generate-key-file", made)
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    State(state.path, made).register("c")


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_modes_do_not_follow_the_umask(tmp_path: Path, mask: int) -> None:
    state = State(tmp_path / "state", tmp_path / "key-file")

    made = ("init-ca", "--generate-key-file", str(state.passphrase_file))
    state.run(*made, env={"IOTONBOARD_PASSPHRASE_FILE": None}, before=partial(os.umask, mask))
    for words in (("register", "a"), ("broker", "issue", "b.test"), ("revoke", "a")):
        state.run(*words, before=partial(os.umask, mask))
    modes = {
        path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in tmp_path.rglob("*")
        if not path.name.endswith(("-wal", "-shm"))
    }
    public = {"ca.crt", "crl.pem", "device.crt", "broker.crt", "mosquitto.acl", "mosquitto.conf"}
    for name, mode in modes.items():
        folder = (tmp_path / name).is_dir()
        wanted = 0o700 if folder else 0o644 if Path(name).name in public else 0o600
        assert mode == wanted, (name, oct(mode))


def _traced(state: State, words: list[str], log: Path) -> str:
    """Run the real program under strace; what it said."""
    argv = ["-f", "-y", "-o", log, "-xx", "-s", "1000000", "-e", "trace=write,pwrite64,writev,pwritev,execve", "--"]
    env = program_environment(state=state, env={"PYTHONFAULTHANDLER": "1", "PYTHONDEVMODE": None})
    done = run_tool("strace", *argv, *PROGRAM, *words, env=env, expect=None)
    if "ptrace" in done.stderr and done.returncode:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def _private_value(pem: bytes, passphrase: str) -> bytes:
    return load_key(pem, passphrase.encode()).private_numbers().private_value.to_bytes(32)


def test_no_secret_is_ever_written_in_the_clear(tmp_path: Path) -> None:
    """Every write(2) of the verbs, temporary files and SQLite's log included, as strace sees it."""
    state = State(tmp_path / "state", tmp_path / "key-file")
    renewed = State(state.path, tmp_path / "new-key-file")
    for one in (state, renewed):
        write_key_file(one.passphrase_file)
    with_the_first = [
        ["init-ca", "--verbose"],
        ["register", "a", "--verbose"],
        ["register", "--count", "30"],
        ["register", "a", "--if-exists", "reissue"],
        ["revoke", "a", "--verbose"],
        ["register", "b"],
        ["export", "b", "--out", str(tmp_path / "b.zip")],
        ["broker", "issue", "b.test"],
        ["gen-crl"],
        ["sync-acl", "--verbose"],
        ["backup", str(tmp_path / "backup.zip"), "--verbose"],
        ["ca", "rollover", "begin", "--verbose"],
        ["ca", "passwd", "--new-passphrase-file", str(renewed.passphrase_file), "--verbose"],
    ]
    calls = [(state, words) for words in with_the_first] + [(renewed, ["register", "c"])]
    said, to_files = "", ""
    for number, (opened, words) in enumerate(calls):
        log = tmp_path / f"log-{number}"
        said += _traced(opened, words, log)
        to_files += "".join(line for line in log.open() if not _TO_A_PERSON_OR_PIPE.search(line))
    # Passwords go to stdout, where they were asked for; nowhere else.
    passwords = re.findall(r"[0-9A-Z]{5}(?:-[0-9A-Z]{5}){3}-[0-9A-Z]{6}", said)
    phrases = [one.passphrase_file.read_text().strip() for one in (state, renewed)]
    keys = [_private_value(path.read_bytes(), phrases[1]) for path in state.certs.glob("ca*.key")]
    assert len(keys) == 2
    keys += [_device_key(state, device_id, passwords) for device_id in ("b", "c")]
    assert len(passwords) >= 34
    assert not any(phrase in said for phrase in phrases)
    assert _as_strace_writes(b"-----BEGIN ENCRYPTED PRIVATE KEY") in to_files  # what is written is found
    for octets in (*keys, *(word.encode() for word in (*phrases, *passwords))):
        for form in (octets, octets.hex().encode(), octets.hex().upper().encode()):
            assert _as_strace_writes(form) not in to_files


def _as_strace_writes(octets: bytes) -> str:
    return "".join(f"\\x{octet:02x}" for octet in octets)


def _device_key(state: State, device_id: str, passwords: list[str]) -> bytes:
    """The private value of a device's key, opened with the one of the passwords that fits."""
    pem = (state.device(device_id) / "device.key").read_bytes()
    for password in passwords:
        with contextlib.suppress(KeyUnavailableError):
            return _private_value(pem, password)
    pytest.fail(f"no password opens the key of {device_id}")
