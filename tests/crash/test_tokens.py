"""A CA key in a token: commands about it, killed at every step. The same command does what is missing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.faults import KILLED, die_at
from support.tokens import TokenState, blank, found

_MOST_STEPS = 1000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> TokenState:
    """Read only."""
    state = blank(tmp_path_factory.mktemp("token"))
    found(state)
    state.register("d-1")
    return state


def copies(kept: TokenState, tmp_path: Path, request: pytest.FixtureRequest, stride: int) -> Iterator[int]:
    """The steps at which a command is to be killed, with a copy of the state in a folder of that name for each."""
    for step in range(1, _MOST_STEPS, 1 if request.config.getoption("--long") else stride):
        folder = tmp_path / str(step)
        folder.mkdir()
        kept.copy_to(folder)
        yield step
        shutil.rmtree(folder)


def state_in(folder: Path, kept: TokenState) -> TokenState:
    return TokenState(folder / "state", folder / "pin", folder / "softhsm", kept.module)


@pytest.mark.parametrize("into", ["token", "file"])
def test_a_lost_token_is_followed_by_one_ca(
    made: TokenState, tmp_path: Path, request: pytest.FixtureRequest, into: str
) -> None:
    password, killed = made.json("bundle", "password", "d-1")["bundle_password"], 0
    (name,) = [one["name"] for one in made.json("ca", "status")["tree"]]
    for step in copies(made, tmp_path, request, 31):
        state = state_in(tmp_path / str(step), made)
        shutil.rmtree(state.softhsm / "tokens")
        (state.softhsm / "tokens").mkdir()
        state.add_token("station8")
        new_key = state.path.parent / "new-key"
        key = ("--key", state.uri("ca", "station8"))
        env = {"IOTONBOARD_PASSPHRASE_FILE": None} if into == "file" else {}
        words = ("ca", "recover", "--recovery-passphrase-file", state.recovery)
        first = (*words, *(("--generate-key-file", new_key) if into == "file" else (*key, "--generate")))
        if state.run(*first, env=env, before=die_at(step), expect=(0, KILLED)).exit_code == 0:
            break
        killed += 1
        again = state.run(*first, env=env, expect=(0, 4))
        if again.exit_code == 4:  # the keys were made in the token, which no transaction takes back
            assert "leave --generate out to use it" in again.stderr
            state.run(*words, *key)
        state = TokenState(state.path, new_key if into == "file" else state.passphrase_file, state.softhsm, made.module)
        assert [one["name"] for one in state.json("ca", "status")["tree"]] == [f"{name} G2"], "a second CA"
        assert state.json("bundle", "password", "d-1")["bundle_password"] == password
        state.run("renew", "d-1")
        assert state.run("health", "--deep").stdout.startswith("everything is as it was recorded")
    assert killed >= 3


def test_a_place_of_a_key_is_changed_whole_or_by_the_same_call(
    made: TokenState, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    module, killed = shutil.copy(made.module, tmp_path / "moved.so"), 0
    uri = made.uri().replace(made.module, str(module))
    for step in copies(made, tmp_path, request, 2):
        state = state_in(tmp_path / str(step), made)
        if state.run("ca", "token", uri, before=die_at(step), expect=(0, KILLED)).exit_code == 0:
            break
        killed += 1
        # The file names the new place first; it is not believed before the CA sealed that.
        told = state.run("revoke", "d-1", expect=(0, 8))
        assert told.exit_code == 0 or "iotonboard ca token" in told.stderr
        state.run("ca", "token", uri)
        assert (state.certs / "ca.key").read_text() == f"{uri}\n"
        state.register("d-2")
        assert state.run("health", "--deep").stdout.startswith("everything is as it was recorded")
    assert killed >= 3
