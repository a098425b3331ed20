"""Version 1: the tables and indexes as they were first. Never edited: what ``version_2`` brings forward."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3


def make_tables(connection: sqlite3.Connection, now: int) -> None:
    """Make what an empty database begins with."""
    del now
    for statement in _TABLES:
        connection.execute(statement)


_TABLES = (
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
