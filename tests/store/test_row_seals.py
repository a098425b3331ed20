"""Every column of every table is sealed in the audit trail, or says here why it is not."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from iotonboard.store.row_seals import NOTES, TABLES, read_digest
from iotonboard.store.schema.migrations import migrate

# Tables, or columns of sealed ones, whose change is found otherwise.
NOT_SEALED = {
    "audit": "is the trail itself: chained, and its head signed",
    "audit_head": "is what the CA signs of the trail",
    "migration": "says which versions made the schema, which is compared as a whole",
    "place": "notes of what was published where, held against the files",
    "pending": "files that are still to be written, deleted once they are; the trail has the digest of a bundle",
    "bundle": "a digest that the trail tells in words, and against which it is held",
    "region_change": "notes of what was written into the ACL, held against the file",
    "trusted_crl.der": "is signed by the CA of others, and looked at by its signature",
    "crl_idp.der": "is signed, and looked at by its signature and number whenever it is published",
    "root_crl.der": "is signed by the root, and looked at by its signature",
    "crl.der": "is signed; its digest is in known_crl, which is sealed",
    "compromised_ca.last_crl": "is signed; its digest is in known_crl, which is sealed",
}


def columns() -> set[str]:
    """All of a new database, as table.column."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, 0, create=True)
        names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*'"
        tables = [name for (name,) in connection.execute(names)]
        return {f"{table}.{row[1]}" for table in tables for row in connection.execute(f"PRAGMA table_info({table})")}


def test_every_column_is_sealed_or_says_why_not() -> None:
    sealed = {f"{table.name}.{column}" for table in TABLES for column in table.columns}
    left = {column for column in columns() - sealed if not {column, column.partition(".")[0]} & NOT_SEALED.keys()}
    assert left == set()
    assert sealed <= columns()


def test_no_exemption_is_older_than_its_table() -> None:
    known = columns() | {column.partition(".")[0] for column in columns()}
    assert NOT_SEALED.keys() <= known
    assert not NOT_SEALED.keys() & {table.name for table in TABLES}


def test_keys_name_one_row() -> None:
    """Else one row's digest would take the place of another's."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, 0, create=True)
        for table in TABLES:
            primary = {row[1] for row in connection.execute(f"PRAGMA table_info({table.name})") if row[5]}
            assert set(table.keys) == primary, table.name


def test_digests_of_each_version_are_read() -> None:
    was, now = "ab" * 10, "cd" * 10
    assert read_digest(now) == (None, now)
    assert read_digest(f"{was[:8]}>{now}") == (was[:8], now)
    assert read_digest(f"{was[:8]}>") == (was[:8], None)
    assert read_digest([was, now]) == (was, now)
    assert read_digest([was, None]) == (was, None)
    for garbage in ("", ">", now[:9], f"{was}>{now}", now.upper(), 5, None, {}, [], [was], [1, 2], [was, now, now]):
        assert read_digest(garbage) is None


def test_only_notes_of_what_was_published_are_left_out_of_the_single_values() -> None:
    """A new one is sealed unless it is named; whoever adds it here says what else finds it."""
    assert NOTES == (
        "acl_published", "acl_row", "acl_seen", "acl_settings", "ca_published", "clock_disputed", "clock_settled",
        "crl_published", "crl_seen", "generation_kept", "log_holds_secrets", "replaced_files", "retired_keys",
        "trust_published", "unfinished",
    )  # fmt: skip
