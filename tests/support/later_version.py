"""A later version of the program, as far as its database goes: one that knows one more migration."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

from iotonboard.store.schema import migrations

Migration = Callable[[sqlite3.Connection, int], None]


def with_migration(migration: Migration) -> Callable[[], None]:
    """For ``before`` of ``State.run``: make the program of this call know this migration too."""
    return partial(_append, migration)


def _append(migration: Migration) -> None:
    migrations.MIGRATIONS = (*migrations.MIGRATIONS, SimpleNamespace(make_tables=migration))


def add_tables(connection: sqlite3.Connection, now: int) -> None:
    connection.execute("CREATE TABLE later (id INTEGER PRIMARY KEY)")
    connection.execute("INSERT INTO later VALUES (7)")


def fail_half_way(connection: sqlite3.Connection, now: int) -> None:
    add_tables(connection, now)
    connection.execute("INSERT INTO no_such_table VALUES (1)")
