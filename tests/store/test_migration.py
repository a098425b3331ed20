"""A database of version 1 in which somebody wrote what cannot be: it is brought forward, and no revocation is lost."""

# ruff: noqa: S608 - tables and columns are this test's own

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from iotonboard.model import RevocationReason, SerialNumber, from_epoch
from iotonboard.pki.crl_entry import encode_entry, serial_and_reason
from iotonboard.store import trail_rows
from iotonboard.store.acl_members import denied_ids, permitted_ids
from iotonboard.store.certificates import certificate_by_serial
from iotonboard.store.crls import crl_entries, crl_generation
from iotonboard.store.damage import damage_of
from iotonboard.store.deliveries import all_deliveries
from iotonboard.store.device_search import DeviceFilter, find_devices
from iotonboard.store.issuers import all_issuers
from iotonboard.store.pending import pending_files
from iotonboard.store.schema.version_2 import TABLES
from iotonboard.store.set_aside import rows_set_aside
from iotonboard.store.store import Store
from iotonboard.store.topics import extra_topics

from support.earlier_versions import make_earlier_database

NOW = datetime(2026, 6, 1, tzinfo=UTC)
FOREIGN = SerialNumber(1 << 90)
FOREIGN_ENTRY = encode_entry(FOREIGN, NOW, RevocationReason.SUPERSEDED)
# So that every table has a row.
MORE_ROWS = f"""
    INSERT INTO pending VALUES (1, x'0102');
    INSERT INTO purge VALUES (5, 1767614400);
    INSERT INTO overlap SELECT max(id), 1767614400 FROM certificate WHERE device = 1;
    INSERT INTO foreign_revocation VALUES (1, x'{FOREIGN.octets.hex()}', x'{FOREIGN_ENTRY.hex()}');
"""
IMPOSSIBLE = {
    "text": "'no such thing'",
    "empty text": "''",
    "blob": "x'ff00ff'",
    "negative": "-9000000000000",
    "huge": "9000000000000000000",
    "fraction": "1.5",
    "not UTF-8": "CAST(x'fffe41' AS TEXT)",
    "text with NUL": "'a' || char(0) || 'b'",
    "JSON of another kind": "'[1]'",
}
COLUMNS = [
    (table, line.split()[0])
    for table, lines in TABLES.items()
    for line in lines
    if not line.startswith(("CONSTRAINT", "PRIMARY KEY", "UNIQUE"))
]
NEW_COLUMNS = {("revocation", "issuer")}
FREE_TEXT = {"name", "operator", "host", "command", "subject", "key_file", "topic", "place"}
ROW_NUMBERS = {"id", "seq", "version", "certificate", "device", "key"}  # where other rows may be what cannot be


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of version 1 with a row in every table."""
    path = tmp_path_factory.mktemp("old") / "devices.db"
    make_earlier_database(1, path)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(MORE_ROWS)
        database.execute("PRAGMA journal_mode = DELETE")
    return path


@contextlib.contextmanager
def migrated(path: Path) -> Iterator[Store]:
    with contextlib.closing(Store.open(str(path), timeout_s=1, now=NOW)) as store:
        yield store


def serials(path: Path, where: str) -> set[SerialNumber]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        rows = database.execute(f"SELECT serial FROM certificate WHERE {where}").fetchall()
    return {SerialNumber.from_octets(row[0]) for row in rows}


def listed_serials(store: Store) -> set[SerialNumber]:
    entries = [entry for issuer in all_issuers(store) for entry in crl_entries(store, issuer.id, NOW)]
    return {serial_and_reason(entry)[0] for entry in entries}


def read_all(store: Store) -> None:
    """What the program reads with any command can be made records of."""
    list(find_devices(store, DeviceFilter(), NOW))
    list(trail_rows.rows(store))
    list(all_deliveries(store))
    list(permitted_ids(store, NOW))
    denied_ids(store, NOW, from_epoch(0))
    extra_topics(store)
    crl_generation(store)
    for is_broker in (False, True):
        pending_files(store, 100, is_broker=is_broker)


def is_sound(store: Store) -> bool:
    return not damage_of(store, with_indexes=True) and store.rows("PRAGMA foreign_key_check") == []


def test_a_sound_database_keeps_every_row(old: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(old, tmp_path))
    with contextlib.closing(sqlite3.connect(old)) as before, migrated(path) as store:
        for table in TABLES:
            columns = ", ".join(row[1] for row in before.execute(f"PRAGMA table_info({table})"))
            query = f"SELECT {columns} FROM {table} ORDER BY 1, 2"
            assert store.rows(query)[: 1 if table == "migration" else None] == before.execute(query).fetchall(), table
        assert list(rows_set_aside(store)) == []
        assert trail_rows.first_broken(store) is None
        assert is_sound(store)


@pytest.mark.parametrize(("table", "column"), sorted(set(COLUMNS) - NEW_COLUMNS))
@pytest.mark.parametrize("row", [1, 2])  # a valid device, and a revoked one
def test_what_cannot_be_is_set_aside_and_nothing_is_lost(
    old: Path, tmp_path: Path, table: str, column: str, row: int
) -> None:
    revoked = serials(old, "id IN (SELECT certificate FROM revocation)") | {FOREIGN}
    refused = 0
    for kind, value in IMPOSSIBLE.items():
        path = Path(shutil.copy(old, tmp_path / f"{kind}.db"))
        if not tamper(path, table, column, value, row):
            continue
        with migrated(path) as store:
            found = list(rows_set_aside(store))
            refused += bool(found)
            assert is_sound(store), kind
            read_all(store)
            assert listed_serials(store) >= revoked, kind
            for serial in serials(old, "id NOT IN (SELECT certificate FROM revocation)"):
                certificate, holder = certificate_by_serial(store, serial)
                assert certificate.revocation is None, kind
                assert holder in ("press-1", "press-4", "press-5", "broker.test") or not found, kind
            assert store.meta("initialised") == 1
            if found and column not in ROW_NUMBERS:
                assert any(one.table == table and column in one.refused for one in found), (kind, found)
    assert refused >= 3 or column in FREE_TEXT | ROW_NUMBERS or row == 2


def tamper(path: Path, table: str, column: str, value: str, row: int) -> bool:
    """Write a value; ``False`` where version 1 refused it too, or has no such row."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        key = "key" if table == "meta" else "rowid"
        keys = database.execute(f"SELECT {key} FROM {table} ORDER BY {key}").fetchall()
        if len(keys) < row:
            return False
        try:
            database.execute(f"UPDATE {table} SET {column} = {value} WHERE {key} = ?", keys[row - 1])
        except sqlite3.IntegrityError:
            return False
        database.commit()
    return True
