"""Version 3: the settings that the program runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.store.schema.columns import column, text

if TYPE_CHECKING:
    import sqlite3

# Table -> its columns and constraints, as in version 2.
TABLES: dict[str, tuple[str, ...]] = {
    # Values as JSON.
    "setting": (text("key", 1, 64, "PRIMARY KEY"), column("value", "TEXT", "json_valid(value)")),
}


def make_tables(connection: sqlite3.Connection, now: int) -> None:  # noqa: ARG001 - as every migration
    """Add the tables; nothing of version 2 changes."""
    for table, columns in TABLES.items():
        lines = ",\n    ".join(columns)
        connection.execute(f"CREATE TABLE {table} (\n    {lines}) WITHOUT ROWID")
