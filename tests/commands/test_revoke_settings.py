"""Settings that do not go together stop no revocation, wherever they stand."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from support.program import State

CLASHES = (
    ("broker_crl_file", "mosquitto.acl"),
    ("broker_crl_file", "devices.db-wal"),
    ("broker_crl_file", "certs/ca.key"),
    ("broker_acl_file", "devices.db"),
    ("broker_ca_file", "mosquitto.acl"),
    ("ca_root_path", "iotonboard.toml"),
)


def write(state: State, key: str, value: str) -> None:
    path = state.path / "iotonboard.toml"
    before = path.read_text() if path.exists() else ""
    path.write_text(f'{key} = "{value}"\n{before}')


@pytest.mark.parametrize("words", [(), ("--defer",)])
@pytest.mark.parametrize(("key", "value"), CLASHES)
def test_a_file_that_uses_one_file_for_two_things(state: State, key: str, value: str, words: tuple[str, ...]) -> None:
    state.register("a")
    key_before = (state.certs / "ca.key").read_bytes()
    write(state, key, value)
    done = state.run("revoke", "a", *words)
    assert "says something else than what is sealed" in done.stderr
    assert state.json("show", "a")["status"] == "revoked"
    assert (state.certs / "ca.key").read_bytes() == key_before
    if not words:
        assert b"topic" not in state.acl.read_bytes().partition(b"user a")[2]


@pytest.mark.parametrize(("key", "value"), CLASHES)
def test_a_clash_where_nothing_is_sealed_yet(state: State, key: str, value: str) -> None:
    """As an earlier version left a state: the values used last, or the defaults, serve; nothing is issued by them."""
    state.register("a")
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as database:
        database.execute("DELETE FROM setting_seal")
        database.execute("DELETE FROM audit WHERE subject = 'settings'")
        database.commit()
    write(state, key, value)
    state.run("revoke", "a", "--defer")
    assert state.json("show", "a")["status"] == "revoked"
    assert "would be used for two things" in state.run("register", "b", expect=(3, 6)).stderr


@pytest.mark.parametrize(("key", "value"), CLASHES)
def test_an_environment_that_uses_one_file_for_two_things(state: State, key: str, value: str) -> None:
    state.register("a")
    env = {f"IOTONBOARD_{key.upper()}": value}
    assert "would be used for two things" in state.run("register", "b", env=env, expect=6).stderr
    state.run("revoke", "a", env=env)
    assert state.json("show", "a")["status"] == "revoked"
