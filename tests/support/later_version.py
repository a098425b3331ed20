"""A later version of the program, as far as its database goes: one that knows one more migration."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial

from iotonboard.store import schema


def with_migration(migration: Callable[[sqlite3.Connection], None]) -> Callable[[], None]:
    """For ``before`` of ``State.run``: make the program of this call know this migration too."""
    return partial(_append, migration)


def _append(migration: Callable[[sqlite3.Connection], None]) -> None:
    schema.MIGRATIONS = (*schema.MIGRATIONS, migration)


def add_tables(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE later (id INTEGER PRIMARY KEY)")
    connection.execute("INSERT INTO later VALUES (7)")


def fail_half_way(connection: sqlite3.Connection) -> None:
    add_tables(connection)
    connection.execute("INSERT INTO no_such_table VALUES (1)")
