"""Version 3: the settings that the program runs on, and the places where files were published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.store.schema.columns import column, number, one_of, text

if TYPE_CHECKING:
    import sqlite3

# Table -> its columns and constraints, as in version 2.
TABLES: dict[str, tuple[str, ...]] = {
    # Values as JSON.
    "setting": (text("key", 1, 64, "PRIMARY KEY"), column("value", "TEXT", "json_valid(value)")),
    # ``last``: number of what was published there; -1 is a place that was named for its first use.
    "place": (one_of("kind", "acl", "ca", "crl"), text("path", 1), number("last", -1), "PRIMARY KEY (kind, path)"),
}


def make_tables(connection: sqlite3.Connection, now: int) -> None:  # noqa: ARG001 - as every migration
    """Add the tables; nothing of version 2 changes."""
    for table, columns in TABLES.items():
        lines = ",\n    ".join(columns)
        connection.execute(f"CREATE TABLE {table} (\n    {lines}) WITHOUT ROWID")
