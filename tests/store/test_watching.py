"""Every change of a sealed row is noted: whatever statement makes it, and whatever was undone before."""

from __future__ import annotations

import ast
import contextlib
import importlib
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import iotonboard.store
import pytest
from iotonboard.errors import ConflictError
from iotonboard.model import DeviceId
from iotonboard.store.devices import add_device
from iotonboard.store.row_seals import TABLES
from iotonboard.store.schema.migrations import migrate
from iotonboard.store.store import Store
from iotonboard.store.watching import tables_changed_by, take_changes

from support.rows import NOW, give, make_store

SEALED = {table.name for table in TABLES}
KINDS = ("INSERT", "UPDATE", "DELETE", "REPLACE", "WITH")
WRITES = {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE}
STAND_INS = dict.fromkeys(("_noted(table, image)", "retired", "root", "row"), "1") | {
    "of": "FROM region_change WHERE 1",
    "column": "x",
}
# Of tables that a function makes for itself, and of the schema.
OWN_TABLES = ("seen", "trail", "temp.passing", "temp.sealed", "temp.changed", "changed")
UNKNOWN = {"table sqlite_master may not be modified", *(f"no such table: {name}" for name in OWN_TABLES)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(make_store(tmp_path)) as store:
        with store.transaction():
            give(store, "press-1", 5)
        yield store


def noted(store: Store) -> set[str]:
    return {table for part in take_changes(store) for table in part}


def watching(store: Store) -> set[str]:
    """The tables that have triggers at this moment."""
    return {table for (table,) in store.rows("SELECT tbl_name FROM sqlite_temp_master WHERE type = 'trigger'")}


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO meta VALUES ('x', 1)",
        "INSERT INTO meta (key, value) VALUES ('x', 1) ON CONFLICT (key) DO UPDATE SET value = 2",
        "INSERT INTO meta VALUES ('known', 1) ON CONFLICT (key) DO UPDATE SET value = 2",
        "INSERT OR IGNORE INTO meta VALUES ('x', 1)",
        "INSERT OR REPLACE INTO meta VALUES ('known', 2)",
        "INSERT INTO main.meta SELECT 'x', count(*) FROM device",
        "INSERT INTO meta VALUES ('x', 1) RETURNING key",
        "REPLACE INTO meta VALUES ('known', 2)",
        "UPDATE meta SET value = 2",
        "UPDATE OR IGNORE meta SET value = 2",
        "UPDATE meta SET value = 1 + id FROM device",
        "DELETE FROM meta",
        "DELETE FROM meta WHERE key IN (SELECT key FROM meta)",
        "WITH one AS (SELECT 'known') DELETE FROM meta WHERE key IN one",
        "WITH one AS (SELECT 'x') INSERT INTO meta SELECT *, 1 FROM one",
        'DELETE FROM "meta"',
        "delete from meta",
        "  \n DELETE FROM meta",
        "-- gone\nDELETE FROM meta",
        "/* gone */ UPDATE meta SET value = 2",
        "INSERT  INTO\tMETA(key, value) VALUES ('x', 1)",
    ],
)
def test_a_change_is_noted_however_it_is_written(store: Store, statement: str) -> None:
    with store.transaction():
        store.set_meta("known", 1)
    with contextlib.closing(Store.open(store.path, timeout_s=0, now=NOW)) as fresh, fresh.transaction():
        assert noted(fresh) == set()
        assert fresh.rows(statement) in ([], [("x",)])
        assert noted(fresh) == {"meta"}
        fresh.execute_many("DELETE FROM device WHERE id <> ?", [(1,)])  # nothing is left to notice
        assert noted(fresh) == set()


def test_many_rows_of_one_statement_are_noted(store: Store) -> None:
    with closing(Store.open(store.path, timeout_s=0, now=NOW)) as fresh, fresh.transaction():
        fresh.execute_many("UPDATE certificate SET host = NULL, salt = ? WHERE id = ?", [(b"other", 1)])
        assert noted(fresh) == {"certificate"}


def statements() -> Iterator[tuple[str, str]]:
    """Each statement of the store's modules that changes rows, with the module that has it.

    For a part of a function's own stands the parameter that it is built around, or nothing.
    """
    for path in sorted(Path(iotonboard.store.__file__).parent.glob("*.py")):
        known = vars(importlib.import_module(f"iotonboard.store.{path.stem}"))
        tree = ast.parse(path.read_text())
        parts = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant | ast.JoinedStr) and node not in parts:
                said = "".join(map(partial(part_of, known), node.values if isinstance(node, ast.JoinedStr) else [node]))
                if said.lstrip().startswith(KINDS) and " " in said:
                    yield path.stem, said


def part_of(known: dict[str, object], part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    with contextlib.suppress(NameError):  # of a function's own
        return str(eval(ast.unparse(part.value), known))  # noqa: S307 - of this package
    return STAND_INS.get(ast.unparse(part.value), "")


def tables_written(connection: sqlite3.Connection, statement: str) -> set[str]:
    """What SQLite itself would write to: through triggers, views and foreign keys too."""
    found = set()

    def authorize(action: int, table: str | None, _two: object, database: str | None, _by: object) -> int:
        if action in WRITES and table and database == "main":
            found.add(table)
        return sqlite3.SQLITE_OK

    connection.set_authorizer(authorize)
    try:
        with contextlib.suppress(sqlite3.ProgrammingError):  # no parameters, but it is prepared by then
            connection.execute(f"EXPLAIN {re.sub('{[a-z]+}', 'host', statement)}")
    except sqlite3.OperationalError as error:
        if str(error) not in UNKNOWN:
            raise
    finally:
        connection.set_authorizer(None)
    return found


def test_every_statement_of_the_store_is_watched_where_it_writes() -> None:
    """SQLite says which tables each one writes to; those of them that are sealed are watched before it is run."""
    written = set()
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, 0, create=True)
        connection.execute("PRAGMA foreign_keys = ON")
        for module, statement in statements():
            tables = tables_written(connection, statement)
            assert tables & SEALED <= {table.name for table in tables_changed_by(statement)}, (module, statement)
            written |= tables
    assert SEALED - written == set()


def test_who_would_write_through_a_foreign_key_is_found() -> None:
    """The schema has no such key; the test above would see one."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("CREATE TABLE one (id INTEGER PRIMARY KEY)")
        connection.execute("CREATE TABLE two (id INTEGER REFERENCES one ON DELETE CASCADE)")
        assert tables_written(connection, "DELETE FROM one") == {"one", "two"}


# -- what was undone --------------------------------------------------------------------------------------------------


def test_a_change_is_noted_after_the_first_one_was_undone(store: Store) -> None:
    with closing(Store.open(store.path, timeout_s=0, now=NOW)) as fresh:
        with contextlib.suppress(ConflictError), fresh.transaction():
            add_device(fresh, DeviceId("press-2"), "", {}, NOW)
            raise ConflictError("no")
        with fresh.transaction():
            assert noted(fresh) == set()
            add_device(fresh, DeviceId("press-2"), "", {}, NOW)
            assert noted(fresh) == {"device"}


def test_a_change_is_noted_after_a_savepoint_was_undone(store: Store) -> None:
    with closing(Store.open(store.path, timeout_s=0, now=NOW)) as fresh, fresh.transaction():
        fresh.set_meta("known", 1)
        with contextlib.suppress(ConflictError), fresh.savepoint():
            add_device(fresh, DeviceId("press-2"), "", {}, NOW)
            raise ConflictError("no")
        with fresh.savepoint():
            add_device(fresh, DeviceId("press-3"), "", {}, NOW)
        assert noted(fresh) == {"meta", "device"}


def test_a_change_is_noted_in_a_second_transaction(store: Store) -> None:
    for number in (2, 3):
        with store.transaction():
            noted(store)
            add_device(store, DeviceId(f"press-{number}"), "", {}, NOW)
            assert noted(store) == {"device"}


# -- what it costs ----------------------------------------------------------------------------------------------------


def test_only_tables_that_are_written_to_are_watched(store: Store) -> None:
    with closing(Store.open(store.path, timeout_s=0, now=NOW)) as fresh, fresh.transaction():
        fresh.rows("SELECT * FROM device")
        fresh.execute("CREATE TEMP TABLE own (id)")
        fresh.execute("INSERT INTO own SELECT id FROM device")
        assert watching(fresh) == set()
        add_device(fresh, DeviceId("press-2"), "", {}, NOW)
        assert watching(fresh) == {"device"}
