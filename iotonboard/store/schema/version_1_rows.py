"""Bring the rows of version 1 into the checked tables of version 2, whatever somebody wrote into them.

A row that a check refuses is set aside. What can be kept of it goes on in its place, with harmless values for what
cannot be (``substitutes.py``), so that its device can still be revoked. A row whose parent is not there is set aside
too, but for a revocation: that one stays on every CRL as one without a certificate.
"""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

from iotonboard.store.schema.version_1_substitutes import SUBSTITUTES, encode_entry, is_serial, serial_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from iotonboard.store.schema.version_1_substitutes import Row

_SECRETS = frozenset({"key_der", "salt", "bundle", "value"})  # they stay where they are erased, and nowhere else


def move_rows(connection: sqlite3.Connection, tables: Sequence[str], now: int) -> None:
    """Move the rows of each ``old_`` table into the new one, parents first."""
    before, connection.text_factory = connection.text_factory, _text
    try:
        for table in tables:
            if connection.execute(f"SELECT 1 FROM old_{table} LIMIT 1").fetchone():
                _move(connection, table)
                for row in _left(connection, table):
                    _set_aside(connection, table, row, now)
    finally:
        connection.text_factory = before


def _text(octets: bytes) -> str | bytes:
    """Text as such, and octets that are none as what they are."""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets


def _move(connection: sqlite3.Connection, table: str) -> None:
    """Take over every row that the checks allow and whose parents are there."""
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    values, source = {column: f"o.{column}" for column in columns}, f"old_{table} o"
    if table == "revocation":
        values["issuer"], source = "c.issuer", f"{source} JOIN certificate c ON c.id = o.certificate"
    parents = [
        f"({values[column]} IS NULL OR EXISTS (SELECT 1 FROM {parent} p WHERE p.id = {values[column]}))"
        for column, parent in _references(connection, table).items()
    ]
    connection.execute(
        f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) SELECT {', '.join(values.values())} FROM {source}"
        f" WHERE {' AND '.join(parents) or 'TRUE'}"
    )


def _left(connection: sqlite3.Connection, table: str) -> Iterator[Row]:
    """The rows that were not taken over, one by one: they may be many."""
    new, old = (connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in (table, f"old_{table}"))
    if new == old:
        return
    key = [row[1] for row in connection.execute(f"PRAGMA table_info(old_{table})") if row[5]]
    same = " AND ".join(f"n.{column} IS o.{column}" for column in key)
    cursor = connection.execute(
        f"SELECT o.* FROM old_{table} o WHERE NOT EXISTS (SELECT 1 FROM {table} n WHERE {same})"
    )
    names = [column[0] for column in cursor.description]
    for row in cursor:
        yield dict(zip(names, row, strict=True))


def _references(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    """Column -> the table whose row it names."""
    return {row[3]: row[2] for row in connection.execute(f"PRAGMA foreign_key_list({table})")}


# -- one row that cannot be -----------------------------------------------------------------------------------------


def _set_aside(connection: sqlite3.Connection, table: str, row: Row, now: int) -> None:
    refused_by, is_replaced = _replace(connection, table, row, now)
    if not refused_by:  # its parent stands there again, for the sake of another row
        return
    if "entry_der" in row and not is_replaced:
        is_replaced = _keep_listed(connection, row, now)
    content = {name: _spelled(name, value) for name, value in row.items()}
    key, subject = _readable(next(iter(row.values()))), _readable(_subject(connection, table, row))
    connection.execute(
        "INSERT INTO set_aside (source, key, subject, refused_by, is_replaced, content) VALUES (?, ?, ?, ?, ?, ?)",
        (table, key, subject, ", ".join(refused_by), is_replaced, json.dumps(content)),
    )


def _replace(connection: sqlite3.Connection, table: str, row: Row, now: int) -> tuple[list[str], bool]:
    """Write what can be kept of a row in its place; returns what was refused, and whether it could be written."""
    kept, refused = dict(row), list[str]()
    if table == "revocation":
        query = "SELECT issuer FROM certificate WHERE id IS ?"
        kept["issuer"] = (connection.execute(query, (row["certificate"],)).fetchone() or (None,))[0]
    while refusal := _refusal(connection, table, kept):
        substitute = SUBSTITUTES.get(table, {}).get(refusal)
        is_hopeless = substitute is None or refusal in refused
        refused.append(refusal)
        if substitute is None or is_hopeless:
            return refused, False
        kept |= substitute(connection, kept, now)
    return refused, True


def _refusal(connection: sqlite3.Connection, table: str, row: Row) -> str:
    """Insert a row; returns the column or check that refuses it, or nothing."""
    for column, parent in _references(connection, table).items():
        query = f"SELECT 1 FROM {parent} WHERE id = ?"
        if row[column] is not None and not connection.execute(query, (row[column],)).fetchone():
            return column
    try:
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
    except sqlite3.IntegrityError as error:  # '... constraint failed: NAME', or TABLE.COLUMN, perhaps of several
        return str(error).rpartition(": ")[2].rpartition(".")[2]
    return ""


def _keep_listed(connection: sqlite3.Connection, row: Row, now: int) -> bool:
    """Keep a revocation without a certificate on the CRLs of its issuer, or of all where that is not known."""
    query = "SELECT serial, issuer, der FROM old_certificate WHERE id IS ?"
    serial, issuer, der = connection.execute(query, (row.get("certificate"),)).fetchone() or (None, None, b"")
    numbers = (row.get("serial"), serial, serial_in(der), serial_in(row["entry_der"]))
    number = next(filter(is_serial, numbers), None)
    if number is None:
        return False
    issuers = [one for (one,) in connection.execute("SELECT id FROM issuer")]
    known = [one for one in issuers if one == row.get("issuer", issuer)]
    for one in known or issuers:
        kept = {"issuer": one, "serial": number, "entry_der": row["entry_der"]}
        if _refusal(connection, "foreign_revocation", kept) == "entry_der":
            _refusal(connection, "foreign_revocation", kept | {"entry_der": encode_entry(number, now)})
    return True


# -- how it is told -------------------------------------------------------------------------------------------------


def _subject(connection: sqlite3.Connection, table: str, row: Row) -> object:
    """The device or host that a row is about, as it is called there; empty where it is about none."""
    device, certificate = row.get("device"), row.get("certificate")
    if table == "device":
        device = row["id"]
    elif table == "certificate":
        certificate = row["id"]
    if device is certificate is None:
        return ""
    for prefix in ("", "old_"):
        query = f"""SELECT coalesce(d.device_id, c.host) FROM {prefix}certificate c
            LEFT JOIN {prefix}device d ON d.id = c.device WHERE c.id IS :certificate
            UNION ALL SELECT device_id FROM {prefix}device WHERE id IS :device"""
        found = connection.execute(query, {"certificate": certificate, "device": device}).fetchone()
        if found and found[0] is not None:
            return found[0]
    return ""


def _readable(value: object) -> str:
    return (value.hex() if isinstance(value, bytes) else str(value)).replace("\0", "")[:255]


def _spelled(name: str, value: object) -> object:
    """A value as JSON can hold it; secrets by their size alone, so that nothing outlives a purge."""
    if name in _SECRETS and value is not None:
        return {"octets": len(value) if isinstance(value, str | bytes) else 0}
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    return {"real": repr(value)} if isinstance(value, float) else value
