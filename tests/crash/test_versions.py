"""Databases of other versions and of other programs: refused untouched, or brought forward in one piece."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from iotonboard import schema

from support.faults import KILLED, must, run_forked
from support.program import State, dump_database


def _add_tables(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE later (id INTEGER PRIMARY KEY)")
    connection.execute("INSERT INTO later VALUES (7)")


def _fail_half_way(connection: sqlite3.Connection) -> None:
    _add_tables(connection)
    connection.execute("INSERT INTO no_such_table VALUES (1)")


def _append(migration: object) -> None:
    schema.MIGRATIONS = (*schema.MIGRATIONS, migration)  # in the forked child alone


def _later_version(state: State) -> int:
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as database:
        return database.execute("PRAGMA user_version").fetchone()[0]


@pytest.mark.parametrize("words", [("list",), ("register", "x"), ("revoke", "x", "--defer"), ("gen-crl",), ("health",)])
def test_a_newer_database_is_refused_untouched(state: State, words: tuple[str, ...]) -> None:
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as database:
        database.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")
    before = state.snapshot()
    result = must(run_forked(state, *words), 3)
    assert "newer version" in result.stderr
    assert state.snapshot() == before


def test_a_foreign_database_is_refused_untouched(state: State, tmp_path: Path) -> None:
    foreign = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(foreign)) as database:
        database.execute("CREATE TABLE theirs (a)")
    before = dump_database(foreign)
    for words in (("list",), ("register", "x"), ("sync-acl",)):
        must(run_forked(state, *words, env={"DATABASE_URL": f"sqlite:///{foreign}"}), 3)
    assert dump_database(foreign) == before


def test_a_migration_runs_once_with_its_record(state: State) -> None:
    known = len(schema.MIGRATIONS)
    for _ in range(2):
        must(run_forked(state, "list", before=lambda: _append(_add_tables)))
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as database:
        assert database.execute("SELECT id FROM later").fetchall() == [(7,)]
        versions = [row[0] for row in database.execute("SELECT version FROM migration ORDER BY version")]
    assert versions == list(range(1, known + 2))


def test_a_migration_that_fails_is_rolled_back_whole(state: State) -> None:
    before = dump_database(state.path / "devices.db")
    must(run_forked(state, "list", before=lambda: _append(_fail_half_way)), 3)
    assert dump_database(state.path / "devices.db") == before
    must(run_forked(state, "list"))


def test_a_migration_killed_at_every_step_is_rolled_back_or_done(state: State, tmp_path: Path) -> None:
    known, killed = len(schema.MIGRATIONS), 0
    for step in range(1, 40):
        (tmp_path / str(step)).mkdir()
        copy = state.copy_to(tmp_path / str(step))
        result = run_forked(copy, "list", stop_at=step, before=lambda: _append(_add_tables))
        if result.exit_code != KILLED:
            break
        killed += 1
        assert _later_version(copy) in (known, known + 1)
        must(run_forked(copy, "register", "x", before=lambda: _append(_add_tables)))
        assert _later_version(copy) == known + 1
    assert killed >= 4
