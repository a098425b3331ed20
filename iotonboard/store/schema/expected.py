"""The schema as the migrations make it, beside the one that a database has: whatever differs is named.

What changes rows behind the program's back is put right before a change already (``views.py``).
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.store.schema.migrations import migrate

if TYPE_CHECKING:
    from iotonboard.store.store import Store

_OBJECTS = "SELECT type, name, sql FROM main.sqlite_master WHERE name NOT GLOB 'sqlite_stat*'"


@dataclass(frozen=True, slots=True)
class SchemaDifference:
    """A table, index, view or trigger (``kind``) that is changed, gone, or none of the program's."""

    kind: str
    name: str
    what: str


def make_missing_indexes(store: Store) -> None:
    """Make indexes anew that somebody took away, inside a transaction."""
    found = {name for kind, name, _ in store.rows(_OBJECTS) if kind == "index"}
    for (kind, name), sql in _expected().items():
        if kind == "index" and sql is not None and name not in found:
            store.execute(sql)


def _expected() -> dict[tuple[str, str], str | None]:
    """The schema of a new database."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, 0, create=True)
        return {(kind, name): sql for kind, name, sql in connection.execute(_OBJECTS)}


def schema_differences(store: Store) -> list[SchemaDifference]:
    """Everything in which the schema differs from that of a new database."""
    expected = _expected()
    found = {(kind, name): sql for kind, name, sql in store.rows(_OBJECTS)}
    return [
        SchemaDifference(kind, name, _what(expected, found, (kind, name)))
        for kind, name in sorted(expected.keys() | found.keys())
        if (kind, name) not in expected or (kind, name) not in found or expected[kind, name] != found[kind, name]
    ]


def _what(
    expected: dict[tuple[str, str], str | None], found: dict[tuple[str, str], str | None], key: tuple[str, str]
) -> str:
    if key not in found:
        return "is gone"
    return "is not as the program made it" if key in expected else "was not made by this program"
