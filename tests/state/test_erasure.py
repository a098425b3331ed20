"""What was recorded as erased goes, also when the command that recorded it did not live to do it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from iotonboard.state.erasure import erase_retired_keys, finish_erasures
from iotonboard.state.publication import EVERYTHING, publish
from iotonboard.state.state import State as OpenState

from support.faults import KILLED, die_at
from support.program import State


def set_meta(state: State, key: str, value: object) -> None:
    with closing(sqlite3.connect(state.path / "devices.db")) as connection, connection:
        connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))


@pytest.fixture
def rolled_over(state: State) -> State:
    """Nothing is of the old CA any more; it is not retired yet."""
    state.run("ca", "rollover", "begin")
    state.run("renew", "--old-ca", "--revoke-old", "now")
    state.run("broker", "issue", "broker.test")
    return state


def keys(state: State) -> list[str]:
    return sorted(path.name for path in state.certs.glob("*.key"))


def test_the_key_of_a_retired_ca_is_erased_by_whatever_command_comes_next(rolled_over: State, tmp_path: Path) -> None:
    """Killed at each step behind the record: the key may be there then, but not behind the next command."""
    left = 0
    for step in range(1, 200):
        (folder := tmp_path / str(step)).mkdir()
        state = rolled_over.copy_to(folder)
        result = state.run("ca", "rollover", "--retire", before=die_at(step), expect=(0, KILLED))
        if result.exit_code == 0:
            assert keys(state) == ["ca-2.key"]
            break
        with closing(sqlite3.connect(state.path / "devices.db")) as connection:
            is_recorded = connection.execute("SELECT count(*) FROM issuer WHERE retired_at IS NOT NULL").fetchone()[0]
        if not is_recorded:
            assert keys(state) == ["ca-2.key", "ca.key"]
            continue
        left += "ca.key" in keys(state)
        state.run("sync-acl")  # publishes the CA file without it
        state.run("list")
        assert keys(state) == ["ca-2.key"]
    assert left > 3


def test_a_key_stays_as_long_as_the_published_file_trusts_it(rolled_over: State) -> None:
    rolled_over.ca_cert.unlink()
    rolled_over.ca_cert.mkdir()
    rolled_over.run("ca", "rollover", "--retire", expect=8)
    assert keys(rolled_over) == ["ca-2.key", "ca.key"]
    rolled_over.ca_cert.rmdir()
    rolled_over.run("gen-crl")
    rolled_over.run("list")
    assert keys(rolled_over) == ["ca-2.key"]


def test_nothing_is_erased_while_the_disk_with_the_keys_is_away(rolled_over: State, opened: OpenState) -> None:
    rolled_over.run("ca", "rollover", "--retire")
    (rolled_over.certs / "ca.key").write_text("brought back")
    set_meta(rolled_over, "retired_keys", 1)
    rolled_over.certs.rename(rolled_over.path / "away")
    erase_retired_keys(opened)
    assert opened.store.meta("retired_keys") == 1
    (rolled_over.path / "away").rename(rolled_over.certs)
    finish_erasures(opened)
    assert keys(rolled_over) == ["ca-2.key"]


def test_publishing_erases_no_key(rolled_over: State, opened: OpenState) -> None:
    rolled_over.run("ca", "rollover", "--retire")
    (rolled_over.certs / "ca.key").write_text("brought back")
    set_meta(rolled_over, "retired_keys", 1)
    set_meta(rolled_over, "ca_published", "")
    assert publish(opened, *EVERYTHING) == []
    assert keys(rolled_over) == ["ca-2.key", "ca.key"]


def test_the_log_is_emptied_once_no_file_waits(state: State, opened: OpenState) -> None:
    """A bundle that waits to be written lies in the same table as those that were erased."""
    state.run("purge", "press-1")
    assert opened.store.meta("log_holds_secrets") == 0
    set_meta(state, "log_holds_secrets", 1)
    with closing(sqlite3.connect(state.path / "devices.db")) as connection, connection:
        connection.execute("INSERT INTO pending SELECT max(id), NULL FROM certificate WHERE host IS NOT NULL")
    finish_erasures(opened)
    assert opened.store.meta("log_holds_secrets") == 1
    publish(opened, *EVERYTHING)
    finish_erasures(opened)
    assert opened.store.meta("log_holds_secrets") == 0


@pytest.mark.parametrize(
    "words", [("register", "press-3"), ("renew", "press-1"), ("gen-crl",), ("deliver", "press-1"), ("purge", "press-2")]
)
def test_the_policy_is_applied_by_the_commands_that_go_on_with_keys(state: State, words: tuple[str, ...]) -> None:
    state.run("config", "set", "keep_keys", "until-confirmed")
    with closing(sqlite3.connect(state.path / "devices.db")) as connection, connection:
        connection.execute(  # as if somebody had confirmed it under another policy
            "INSERT INTO receipt (certificate, confirmed_at, proved) SELECT c.id, 0, 1 FROM certificate c"
            " JOIN device d ON d.id = c.device WHERE d.device_id = 'press-2'"
        )
    assert (state.device("press-2") / "device.key").exists()
    state.run(*words)
    assert not (state.device("press-2") / "device.key").exists()
    assert state.json("show", "press-2")["certificates"][0]["purged_at"]
