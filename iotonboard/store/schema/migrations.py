"""The database schema as ordered migrations; each runs in one transaction together with its record.

A released migration is never edited: a change of the schema is a new module at the end of ``MIGRATIONS``.
The SQL keeps to what SQLite 3.34 reads, which RHEL 9 has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from iotonboard.errors import StateError
from iotonboard.store.schema import version_1, version_2, version_3, version_4, version_5

if TYPE_CHECKING:
    import sqlite3

APPLICATION_ID = 0x494F5442  # "IOTB": tells this database from any other SQLite file


class Migration(Protocol):
    """A module that brings a database forward by one version, inside a transaction without foreign keys."""

    def make_tables(self, connection: sqlite3.Connection, now: int) -> None:
        """Change the schema; ``now`` in seconds since 1970."""


# Modules, which are read when there is something to do.
MIGRATIONS: tuple[Migration, ...] = (version_1, version_2, version_3, version_4, version_5)


def migrate(connection: sqlite3.Connection, now: int, *, create: bool) -> None:
    """Bring a database to the newest schema; nothing happens when it is there already.

    Raises:
        StateError: the database was made by a newer version, is not this program's, or is empty and ``create``
            did not say that it may be.
    """
    version, application = _versions(connection)
    is_empty = False
    if application == 0:
        # The versions are asked again behind it: another process may be filling the database at this moment.
        is_empty = not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        version, application = _versions(connection)
    if application != APPLICATION_ID and not (application == version == 0 and is_empty):
        raise StateError("the database is not an iotonboard database", hint="check 'database_url' in the configuration")
    if version == 0 and not create:
        raise StateError(
            "the database is empty",
            hint="restore it from the latest backup; after an interrupted 'init-ca', run that again",
        )
    if version > len(MIGRATIONS):
        raise StateError(
            f"the state was made by a newer version (schema {version}, this program knows {len(MIGRATIONS)})",
            hint="install that version of iotonboard; nothing was changed",
        )
    for number, migration in enumerate(MIGRATIONS[version:], start=version + 1):
        _apply(connection, number, migration, now)


def is_newest(connection: sqlite3.Connection) -> bool:
    """Say whether there is nothing to migrate."""
    return _versions(connection) == (len(MIGRATIONS), APPLICATION_ID)


def _versions(connection: sqlite3.Connection) -> tuple[int, int]:
    version, application = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("user_version", "application_id")
    )
    return version[0], application[0]


def _apply(connection: sqlite3.Connection, number: int, migration: Migration, now: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done it while this one waited for the lock.
        if connection.execute("PRAGMA user_version").fetchone()[0] < number:
            migration.make_tables(connection, now)
            connection.execute("INSERT INTO migration (version, applied_at) VALUES (?, ?)", (number, now))
            connection.execute(f"PRAGMA user_version = {number:d}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
