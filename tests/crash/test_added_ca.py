"""A CA beside the one of brokers, killed or refused while it is added and used: the same command finishes it."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest
from cryptography import x509

from support.faults import KILLED, die_at, refuse_at
from support.invariants import check_invariants
from support.program import State, write_key_file

ADD = ("ca", "add", "servers", "--key-type", "ec-p256")
SERVER = ("--profile", "server", "--set", "host=web.test")
_MOST_STEPS = 2000


def check_added(state: State, *, with_key: bytes = b"") -> None:
    """It issues, signs, revokes and backs up; ``with_key``: it has this one."""
    folder = state.certs / "cas" / "servers"
    assert (folder / "ca.key").read_bytes() == (with_key or (folder / "ca.key").read_bytes()), "a second key"
    state.run("register", "web-9", *SERVER)
    state.run("revoke", "web-9")
    assert state.json("gen-crl")["added"][0]["revoked"] >= 1
    assert state.json("health", "--deep")["status"] == "ok"


def test_add_killed_at_every_step(pristine: State, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    killed = 0
    for step in range(1, _MOST_STEPS, 1 if request.config.getoption("--long") else 61):
        (tmp_path / str(step)).mkdir()
        state = pristine.copy_to(tmp_path / str(step))
        if state.run(*ADD, before=die_at(step), expect=(0, KILLED)).exit_code == 0:
            break
        killed += 1
        key = state.certs / "cas" / "servers" / "ca.key"
        made = key.read_bytes() if key.exists() else b""
        state.register("m1")
        again = state.run(*ADD, expect=(0, 4))
        assert again.exit_code == 0 or "already" in again.stderr
        check_added(state, with_key=made)
        check_invariants(state)
        shutil.rmtree(state.path.parent)
    assert killed >= 2


@pytest.mark.parametrize("refusal", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_refuses_while_it_is_added(
    pristine: State, tmp_path: Path, request: pytest.FixtureRequest, refusal: int
) -> None:
    for step in range(1, _MOST_STEPS, 1 if request.config.getoption("--long") else 53):
        (tmp_path / str(step)).mkdir()
        state = pristine.copy_to(tmp_path / str(step))
        first = state.run(*ADD, before=refuse_at(step, refusal), expect=(0, 3, 4, 7, 8))
        if first.exit_code:
            state.run(*ADD, expect=(0, 4))
        check_added(state)
        shutil.rmtree(state.path.parent)
        if first.exit_code == 0 and step > 100:
            break


@pytest.mark.parametrize("words", [("revoke", "both"), ("retire", "both"), ("register", "new", *SERVER), ("gen-crl",)])
def test_a_command_of_both_killed_at_every_step(
    pristine: State, tmp_path: Path, request: pytest.FixtureRequest, words: tuple[str, ...]
) -> None:
    """What was recorded at one of them stays; the same command again has both lists name the device."""
    prepared = pristine.copy_to(tmp_path)
    prepared.run(*ADD)
    prepared.register("both")
    prepared.run("register", "both", *SERVER)
    killed = 0
    for step in range(1, _MOST_STEPS, 1 if request.config.getoption("--long") else 29):
        (tmp_path / str(step)).mkdir()
        state = prepared.copy_to(tmp_path / str(step))
        if state.run(*words, before=die_at(step), expect=(0, KILLED)).exit_code == 0:
            break
        killed += 1
        again = ("--if-exists", "skip") if words[0] == "register" else ()
        state.run(*words, *again)
        check_invariants(state)
        if words[0] in ("revoke", "retire"):
            for folder in (state.certs, state.certs / "cas" / "servers"):
                assert len(list(x509.load_pem_x509_crl((folder / "crl.pem").read_bytes()))) == 1, folder
        assert state.json("health", "--deep")["status"] == "ok"
        shutil.rmtree(state.path.parent)
    assert killed >= 2


def test_a_new_passphrase_killed_at_every_step(pristine: State, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The same call again gives it to both keys, whichever had it already."""
    prepared = pristine.copy_to(tmp_path)
    prepared.run(*ADD)
    fresh = tmp_path / "fresh"
    write_key_file(fresh)
    killed = 0
    for step in range(1, _MOST_STEPS, 1 if request.config.getoption("--long") else 7):
        (tmp_path / str(step)).mkdir()
        state = prepared.copy_to(tmp_path / str(step))
        words = ("ca", "passwd", "--new-passphrase-file", fresh)
        if state.run(*words, before=die_at(step), expect=(0, KILLED)).exit_code == 0:
            break
        killed += 1
        state.run(*words)
        check_added(State(state.path, fresh))
        shutil.rmtree(state.path.parent)
    assert killed >= 2
