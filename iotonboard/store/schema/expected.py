"""The schema as the migrations make it, beside the one that a database has.

What the program did not make there works behind its back: a trigger undoes what a command records, a view shows other
rows than there are. Triggers are dropped and views made anew before a change; they hold no data. All else is named.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import StateError
from iotonboard.store.schema.migrations import migrate
from iotonboard.store.schema.views import VIEWS

if TYPE_CHECKING:
    from iotonboard.store.store import Store

_OBJECTS = "SELECT type, name, sql FROM main.sqlite_master WHERE name NOT GLOB 'sqlite_stat*'"
_VIEWS = {statement.split()[2]: statement for statement in VIEWS}


@dataclass(frozen=True, slots=True)
class SchemaDifference:
    """A table, index, view or trigger (``kind``) that is changed, gone, or none of the program's."""

    kind: str
    name: str
    what: str


def mend_schema(store: Store) -> list[str]:
    """Drop triggers, and make changed views anew, inside a transaction; returns what was done, in words.

    What cannot be mended so is no obstacle: ``schema_differences`` names it.
    """
    found = store.rows(f"{_OBJECTS} AND type IN ('trigger', 'view')")
    views = {name: sql for kind, name, sql in found if kind == "view"}
    triggers = [name for kind, name, _ in found if kind == "trigger"]
    if not triggers and all(views.get(name) == sql for name, sql in _VIEWS.items()):
        return []
    done = []
    for name in triggers:
        with suppress(StateError):
            store.execute(f"DROP TRIGGER main.{_quoted(name)}")
            done.append(f"dropped the trigger {name!r}, which changed rows behind the program's back")
    for name, sql in _VIEWS.items():
        if views.get(name) != sql:
            with suppress(StateError):
                store.execute(f"DROP VIEW IF EXISTS main.{_quoted(name)}")
                store.execute(sql)
                done.append(f"made the view {name!r} anew, which somebody had changed")
    return done


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))


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
