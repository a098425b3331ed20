"""Logs beside a database: another one's are moved aside and told, its own are never touched."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from support.program import State, make_state


def database(state: State) -> Path:
    return state.path / "devices.db"


@contextmanager
def log_kept(state: State) -> Iterator[None]:
    """As long as somebody reads, no command folds its log into the database."""
    with closing(sqlite3.connect(database(state))) as reader:
        reader.execute("SELECT * FROM device").fetchall()
        yield


def copy_logs(state: State, folder: Path, *suffixes: str) -> None:
    folder.mkdir(exist_ok=True)
    for suffix in suffixes:
        shutil.copy(f"{database(state)}{suffix}", f"{folder}/devices.db{suffix}")


def names(state: State) -> set[str]:
    return {path.name for path in state.path.iterdir() if path.name.startswith("devices.db")}


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """The log of another state, and its index."""
    (tmp_path / "other").mkdir()
    other = make_state(tmp_path / "other")
    with log_kept(other):
        other.register("other-1")
        copy_logs(other, tmp_path / "logs", "-wal", "-shm")
    return tmp_path / "logs"


@pytest.mark.parametrize("suffixes", [("-wal",), ("-wal", "-shm")])
def test_the_log_of_another_state_is_moved_aside_and_told(
    state: State, foreign: Path, suffixes: tuple[str, ...]
) -> None:
    state.register("press-1")
    for suffix in suffixes:
        shutil.copy(foreign / f"devices.db{suffix}", f"{database(state)}{suffix}")
    done = state.run("list")
    assert done.stdout.startswith("press-1\t")
    assert "moved aside" in done.stderr
    assert "devices.db-wal.moved-1" in done.stderr
    assert names(state) >= {"devices.db", "devices.db-wal.moved-1"}
    assert "devices.db-wal" not in names(state)
    rows = state.run("audit", "show", "--all", "--json").json_lines
    (row,) = (row for row in rows if "moved_aside" in row["detail"])
    assert row["detail"]["moved_aside"][0] == "devices.db-wal.moved-1"
    state.run("audit", "verify")
    assert state.run("list").stderr == ""


def test_the_journal_of_another_database_is_moved_aside(state: State, tmp_path: Path) -> None:
    """SQLite would write its pages over the database's own, whatever they are of."""
    state.register("press-1")
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN")
        connection.execute("INSERT INTO t SELECT zeroblob(4000) FROM json_each(?)", ("[1,2,3,4,5,6,7,8,9]",))
        journal = Path(f"{other}-journal").read_bytes()
    Path(f"{database(state)}-journal").write_bytes(journal)
    done = state.run("list")
    assert done.stdout.startswith("press-1\t")
    assert "devices.db-journal.moved-1" in done.stderr
    assert state.run("health", "--deep").stdout == "everything is as it was recorded\n"


def test_the_log_that_a_crash_left_is_taken_up(state: State, tmp_path: Path) -> None:
    state.register("press-1")
    with log_kept(state):
        state.register("press-2")
        state.run("revoke", "press-1")
        copy_logs(state, tmp_path / "crashed", "", "-wal", "-shm")
    for has_index in (True, False):
        (folder := tmp_path / f"again-{has_index}").mkdir()
        crashed = state.copy_to(folder)
        for suffix in ("", "-wal", *(["-shm"] if has_index else [])):
            shutil.copy(f"{tmp_path}/crashed/devices.db{suffix}", f"{database(crashed)}{suffix}")
        done = crashed.run("list")
        assert done.stderr == ""
        assert {line.split("\t")[0] for line in done.stdout.splitlines()} == {"press-1", "press-2"}
        assert crashed.run("health", "--deep").stdout == "everything is as it was recorded\n"


def test_a_log_in_use_is_left_where_it_is(state: State, foreign: Path) -> None:
    """Whatever lies in it: another command works with it now."""
    state.register("press-1")
    shutil.copy(foreign / "devices.db-wal", f"{database(state)}-wal")
    with closing(sqlite3.connect(database(state))) as user:
        user.execute("SELECT * FROM device").fetchall()
        state.run("list")
        assert not [name for name in names(state) if "moved" in name]


def test_a_newer_log_beside_an_older_copy_of_the_database_is_moved_aside(state: State, tmp_path: Path) -> None:
    """Folded together they would be neither the one nor the other."""
    state.register("press-1")
    older = tmp_path / "older.db"
    shutil.copy(database(state), older)
    state.register(*(f"between-{number}" for number in range(60)))
    with log_kept(state):
        state.register("press-2")
        copy_logs(state, tmp_path / "logs", "-wal")
    for suffix in ("-wal", "-shm"):
        Path(f"{database(state)}{suffix}").unlink(missing_ok=True)
    shutil.copy(older, database(state))
    shutil.copy(tmp_path / "logs" / "devices.db-wal", f"{database(state)}-wal")
    done = state.run("list")
    assert "devices.db-wal.moved-1" in done.stderr
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["press-1"]
