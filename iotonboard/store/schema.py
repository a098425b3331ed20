"""The database schema as ordered migrations; each runs in one transaction together with its record.

A released migration is never edited: a change of the schema is a new function at the end of ``MIGRATIONS``.
The SQL keeps to what PostgreSQL reads too, apart from the pragmas and COLLATE NOCASE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.errors import StateError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

APPLICATION_ID = 0x494F5442  # "IOTB": tells this database from any other SQLite file


def _version_1(connection: sqlite3.Connection) -> None:
    for statement in _TABLES_1:
        connection.execute(statement)


_TABLES_1 = (
    "CREATE TABLE migration (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL)",
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    """CREATE TABLE issuer (
        id INTEGER PRIMARY KEY, serial BLOB NOT NULL UNIQUE, not_before INTEGER NOT NULL, not_after INTEGER NOT NULL,
        der BLOB NOT NULL, key_file TEXT NOT NULL, created_at INTEGER NOT NULL, retired_at INTEGER)""",
    """CREATE TABLE device (
        id INTEGER PRIMARY KEY, device_id TEXT NOT NULL COLLATE NOCASE UNIQUE, name TEXT NOT NULL,
        attributes TEXT NOT NULL, created_at INTEGER NOT NULL, retired_at INTEGER)""",
    # So that the ACL is written from the index of the ids alone.
    "CREATE INDEX device_retired ON device(id) WHERE retired_at IS NOT NULL",
    """CREATE TABLE certificate (
        id INTEGER PRIMARY KEY, serial BLOB NOT NULL UNIQUE, issuer INTEGER NOT NULL REFERENCES issuer(id),
        device INTEGER REFERENCES device(id), host TEXT, not_before INTEGER NOT NULL, not_after INTEGER NOT NULL,
        der BLOB NOT NULL, spki_sha256 BLOB NOT NULL, key_der BLOB, salt BLOB, created_at INTEGER NOT NULL,
        CHECK ((device IS NULL) <> (host IS NULL)))""",
    "CREATE INDEX certificate_device ON certificate(device) WHERE device IS NOT NULL",
    "CREATE INDEX certificate_host ON certificate(host) WHERE host IS NOT NULL",
    "CREATE INDEX certificate_not_after ON certificate(not_after)",
    "CREATE INDEX certificate_spki ON certificate(spki_sha256)",
    # not_after is repeated and the CRL entry kept encoded, so that a CRL is one scan of this table.
    """CREATE TABLE revocation (
        certificate INTEGER PRIMARY KEY REFERENCES certificate(id), revocation_date INTEGER NOT NULL,
        reason TEXT NOT NULL, not_after INTEGER NOT NULL, entry_der BLOB NOT NULL)""",
    # Certificates that a renewal left valid beside the new one: until ends_at, or until they expire when it is NULL.
    "CREATE TABLE overlap (certificate INTEGER PRIMARY KEY REFERENCES certificate(id), ends_at INTEGER)",
    "CREATE INDEX overlap_ends_at ON overlap(ends_at) WHERE ends_at IS NOT NULL",
    # Revocations of certificates that a restored backup does not know; known from a newer CRL only.
    "CREATE TABLE foreign_revocation (issuer INTEGER NOT NULL, serial BLOB PRIMARY KEY, entry_der BLOB NOT NULL)",
    """CREATE TABLE crl (
        id INTEGER PRIMARY KEY, generation INTEGER NOT NULL, issuer INTEGER NOT NULL REFERENCES issuer(id),
        number INTEGER NOT NULL, this_update INTEGER NOT NULL, next_update INTEGER NOT NULL,
        revoked INTEGER NOT NULL, der BLOB, created_at INTEGER NOT NULL, UNIQUE (issuer, number))""",
    (
        "CREATE TABLE topic (device INTEGER NOT NULL REFERENCES device(id), access TEXT NOT NULL, topic TEXT NOT NULL,"
        " PRIMARY KEY (device, access, topic))"
    ),
    # Devices whose files are to be written from the committed rows; empty when everything is published.
    "CREATE TABLE pending (certificate INTEGER PRIMARY KEY REFERENCES certificate(id), bundle BLOB)",
    # A copy of a bundle that was handed over: below outbox/ (token, expires_at) or on a disk (place).
    """CREATE TABLE delivery (
        id INTEGER PRIMARY KEY, certificate INTEGER NOT NULL REFERENCES certificate(id), token TEXT UNIQUE,
        place TEXT NOT NULL, sha256 BLOB NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER,
        written_at INTEGER, outcome TEXT, erased_at INTEGER)""",
    "CREATE INDEX delivery_certificate ON delivery(certificate)",
    "CREATE INDEX delivery_open ON delivery(expires_at) WHERE token IS NOT NULL AND erased_at IS NULL",
    # Tables of their own: a certificate's row never changes its size, so SQLite never moves it (secrets.py).
    """CREATE TABLE receipt (
        id INTEGER PRIMARY KEY, certificate INTEGER NOT NULL UNIQUE REFERENCES certificate(id),
        confirmed_at INTEGER NOT NULL, proved INTEGER NOT NULL)""",
    "CREATE TABLE purge (certificate INTEGER PRIMARY KEY REFERENCES certificate(id), purged_at INTEGER NOT NULL)",
    """CREATE TABLE audit (
        seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, operator TEXT NOT NULL, host TEXT NOT NULL,
        command TEXT NOT NULL, subject TEXT NOT NULL, serial TEXT NOT NULL, detail TEXT NOT NULL,
        hash BLOB NOT NULL)""",
    (
        "CREATE TABLE audit_head (seq INTEGER PRIMARY KEY, hash BLOB NOT NULL, issuer INTEGER NOT NULL,"
        " signature BLOB NOT NULL)"
    ),
)

MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_version_1,)


def migrate(connection: sqlite3.Connection, now: int, *, create: bool) -> None:
    """Bring a database to the newest schema; nothing happens when it is there already.

    Raises:
        StateError: the database was made by a newer version, is not this program's, or is empty and ``create``
            did not say that it may be.
    """
    # Asked before the version: another process may be filling the database at this moment.
    is_empty = not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application not in (0, APPLICATION_ID) or (application == 0 and not (version == 0 and is_empty)):
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
    for number, change in enumerate(MIGRATIONS[version:], start=version + 1):
        _apply(connection, number, change, now)


def _apply(connection: sqlite3.Connection, number: int, change: Callable[[sqlite3.Connection], None], now: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done it while this one waited for the lock.
        if connection.execute("PRAGMA user_version").fetchone()[0] < number:
            change(connection)
            connection.execute("INSERT INTO migration (version, applied_at) VALUES (?, ?)", (number, now))
            connection.execute(f"PRAGMA user_version = {number:d}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
