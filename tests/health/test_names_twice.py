"""A device's name or a certificate's serial that stands twice, since the index that hinders it is gone or damaged."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from iotonboard.pki import pem
from iotonboard.pki.crl import revoked_entries

from support.in_process import call
from support.program import State


def _path(state: State) -> Path:
    return state.path / "devices.db"


@contextlib.contextmanager
def _schema(database: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        yield connection


def _without_unique(state: State, table: str, column: str, change: str) -> None:
    with _schema(_path(state)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            f"UPDATE sqlite_master SET sql = replace(sql, '{column} UNIQUE', '{column}') WHERE name = ?",  # noqa: S608
            (table,),
        )
        connection.execute("DELETE FROM sqlite_master WHERE name = ?", (f"sqlite_autoindex_{table}_1",))
    with _schema(_path(state)) as connection:
        connection.execute(change)


def _name_in_table(state: State) -> None:
    """In the table alone: the index still has the old name."""
    with _schema(_path(state)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'device'").fetchone()
    octets = bytearray(_path(state).read_bytes())
    page = slice((root - 1) * size, root * size)
    octets[page] = octets[page].replace(b"dev-b", b"dev-a")
    _path(state).write_bytes(octets)


def _name(state: State) -> None:
    change = "UPDATE device SET device_id = 'dev-a' WHERE device_id = 'dev-b'"
    _without_unique(state, "device", "COLLATE NOCASE", change)


def _serial(state: State) -> None:
    change = "UPDATE certificate SET serial = (SELECT serial FROM certificate WHERE device = 1) WHERE device = 2"
    _without_unique(state, "certificate", "BLOB NOT NULL", change)


@pytest.mark.parametrize("damage", [_name, _name_in_table, _serial])
def test_what_stands_twice_is_told_and_stops_nobody_else(state: State, damage: Callable[[State], None]) -> None:
    state.run("register", "dev-a", "dev-b", "dev-c", "dev-d")
    serials = {one["device_id"]: one["certificates"][0]["serial"] for one in _shown(state)}
    damage(state)
    for words, codes in (
        ("list", {0}),
        ("gen-crl", {0}),
        ("revoke dev-c", {0}),
        ("health --deep", {9}),
        ("health --deep --repair", {9}),
        ("revoke dev-d", {0}),
        ("revoke dev-a dev-b", {0, 5}),
        ("gen-crl", {0}),
    ):
        result = call(state, *words.split())
        assert result.exit_code in codes, result
        assert "Traceback" not in result.stderr
    assert {serials[name] for name in ("dev-a", "dev-b", "dev-c", "dev-d")} <= _listed(state)


def _shown(state: State) -> list[dict[str, object]]:
    return [state.run("show", name, "--json").json for name in ("dev-a", "dev-b", "dev-c", "dev-d")]


def _listed(state: State) -> set[str]:
    ders = pem.pem_decode_all("X509 CRL", state.crl.read_bytes())
    return {f"{int(serial):040X}" for der in ders for serial, _, _ in revoked_entries(der)}
