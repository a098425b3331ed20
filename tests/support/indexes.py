"""Indexes that say something else than their table, as damaged pages do."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_DEFINE = "UPDATE sqlite_master SET sql = ? WHERE name = ?"


def spoil_index(path: Path, index: str, definition: str) -> None:
    """Fill an index as if it were defined otherwise (``ON table(...)``, and a condition): its definition stays."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        (sql,) = database.execute("SELECT sql FROM sqlite_master WHERE name = ?", (index,)).fetchone()
        database.execute("PRAGMA writable_schema = ON")
        database.execute(_DEFINE, (f"CREATE INDEX {index} {definition}", index))
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"REINDEX {index}")
        database.execute("PRAGMA writable_schema = ON")
        database.execute(_DEFINE, (sql, index))
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",)


def lose_pages(path: Path, index: str) -> None:
    """Overwrite the first page of an index, so that it cannot be read at all."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = database.execute("PRAGMA page_size").fetchone()
        (root,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (index,)).fetchone()
    octets = bytearray(path.read_bytes())
    octets[(root - 1) * size : root * size] = bytes(size)
    path.write_bytes(octets)
