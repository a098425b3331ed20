"""Settings that do not go together stop no revocation, wherever they stand."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from support.program import State, make_state

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


@pytest.fixture
def other_state(tmp_path: Path) -> State:
    """Of another plant, where a device of the same name is not to be revoked."""
    (tmp_path / "other").mkdir()
    other = make_state(tmp_path / "other")
    other.register("a")
    return other


ELSEWHERE = ("typo.db", "certs", "iotonboard.toml", "mosquitto.acl", "/no/such/disk/devices.db", "empty.db")


@pytest.mark.parametrize("place", [*ELSEWHERE, "other"])
def test_a_file_that_names_another_database(state: State, other_state: State, place: str) -> None:
    """The one beside it that holds the CA of this state is what was used last."""
    state.register("a")
    (state.path / "empty.db").touch()
    write(state, "database_url", f"sqlite:///{other_state.path / 'devices.db' if place == 'other' else place}")
    done = state.run("revoke", "a")
    assert "which is not the database of this state" in done.stderr
    assert state.json("show", "a")["status"] == "revoked"
    assert "topic" not in state.acl.read_text().partition("user a\n")[2]
    assert other_state.json("show", "a")["status"] == "active"
    state.run("sync-acl")
    if place != "other":
        state.run("register", "b", expect=(3, 6))
    state.run("config", "write")
    assert "database_url" not in (state.path / "iotonboard.toml").read_text()
    state.register("b")


@pytest.mark.parametrize("place", [*ELSEWHERE, "other"])
def test_an_environment_that_names_another_database(state: State, other_state: State, place: str) -> None:
    state.register("a")
    (state.path / "empty.db").touch()
    env = {"DATABASE_URL": f"sqlite:///{other_state.path / 'devices.db' if place == 'other' else place}"}
    told = state.run("revoke", "a", env=env).stderr
    assert "unset DATABASE_URL" in told or "would be used for two things" in told
    assert state.json("show", "a")["status"] == "revoked"
    if place != "other":
        state.run("register", "b", env=env, expect=(3, 6))


@pytest.fixture
def moved(state: State, tmp_path: Path) -> Path:
    """The folder to which the database of ``state`` was moved after "a"; "b" is in the new one alone."""
    disk = tmp_path / "disk"
    state.register("a")
    state.run("config", "set", "database_url", f"sqlite:///{disk}/devices.db", expect=5)
    disk.mkdir()
    shutil.copy(state.path / "devices.db", disk)
    state.run("config", "set", "database_url", f"sqlite:///{disk}/devices.db")
    state.register("b")
    return disk


def test_a_database_that_was_moved_away_from_is_not_what_was_used_last(state: State, moved: Path) -> None:
    """What is left in its old place is an older copy, and the disk of the new one may be away."""
    away = moved.rename(moved.with_name("away"))
    refused = state.run("revoke", "a", expect=3)
    assert "bring that disk back" in refused.stderr
    assert "init-ca" not in refused.stderr
    away.rename(moved)
    state.run("revoke", "a", "b")


def test_a_lost_settings_file_leads_nobody_back_to_the_old_database(state: State, moved: Path) -> None:
    """The old one notes where it was moved to: that is followed, and told until the file says it again."""
    (state.path / "iotonboard.toml").unlink()
    assert "does not say any more that the database was moved" in state.run("revoke", "b").stderr
    away = moved.rename(moved.with_name("away"))
    for words in (("revoke", "a"), ("register", "c"), ("list",), ("health",)):
        refused = state.run(*words, expect=3)
        assert f"moved to '{moved}/devices.db', and is not there" in refused.stderr
        assert "bring that disk back" in refused.stderr
    away.rename(moved)
    state.run("config", "write")
    assert str(moved) in (state.path / "iotonboard.toml").read_text()
    assert state.run("show", "b").stderr == ""


PLANTED = {
    "database_url": "sqlite:////no/such/disk/devices.db",
    "busy_timeout_seconds": 0,
    "acl.topics": [],
    "crl_next_update_days": 1,
    "backup_days": 9,
    "nonsense": {"a": [None]},
}


@pytest.mark.parametrize("key", PLANTED)
def test_a_value_that_somebody_wrote_into_the_database_counts_for_nothing(state: State, key: str) -> None:
    state.register("a", "b")
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as database, database:
        database.execute("INSERT INTO setting VALUES (?, ?)", (key, json.dumps(PLANTED[key])))
    shown = state.run("config", "show")
    assert key in shown.stderr
    told = state.run("revoke", "a")
    assert "no command recorded" in told.stderr
    assert state.json("show", "a")["status"] == "revoked"
    checks = {one["name"]: one for one in state.run("health", "--json", expect=9).json["checks"]}
    assert (checks["settings"]["status"], key in checks["settings"]["message"]) == ("failed", True)
    assert "topic readwrite devices/b/#" in state.acl.read_text()
    state.run("config", "write")
    state.run("config", "accept")
    assert state.run("config", "show").stderr == ""


def test_a_planted_move_leads_nobody_to_an_older_copy(state: State, tmp_path: Path) -> None:
    state.register("a")
    shutil.copy(state.path / "devices.db", tmp_path / "older.db")
    state.register("b")
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as database, database:
        url = json.dumps(f"sqlite:///{tmp_path}/older.db")
        database.execute("INSERT INTO setting VALUES ('database_url', ?)", (url,))
    assert state.json("show", "b")["status"] == "active"
    state.run("revoke", "b")


def test_a_variable_that_names_the_old_database(state: State, moved: Path) -> None:
    env = {"DATABASE_URL": "sqlite:///devices.db"}
    assert "from where the database was moved" in state.run("register", "c", env=env, expect=6).stderr
    state.run("revoke", "b", env=env)
    assert state.json("show", "b")["status"] == "revoked"


def test_a_database_comes_back_to_its_old_place(state: State, moved: Path) -> None:
    """By 'config set' or by hand; its settings were changed meanwhile."""
    state.run("config", "set", "acl.style", "pattern")
    stale = state.run("config", "set", "database_url", "sqlite:///devices.db", expect=5)
    assert "copy the database there" in stale.stderr
    shutil.copy(moved / "devices.db", state.path)
    state.run("revoke", "a")
    older = state.run("config", "set", "database_url", "sqlite:///devices.db", expect=4)
    assert "lacks what was done since" in older.stderr
    shutil.copy(moved / "devices.db", state.path)
    state.run("config", "set", "database_url", "sqlite:///devices.db")
    (moved / "devices.db").unlink()
    (state.path / "iotonboard.toml").unlink()
    assert state.json("show", "a")["status"] == "revoked"
