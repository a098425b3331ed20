"""Grow a real state's database to many devices by inserting rows, because registering a million takes long.

    python grow.py DATABASE DEVICES REVOKED

Each row is honest in size: its own id, serial, times and key digest, and certificate, encrypted key and audit row
of the length that ``register`` wrote (the first device's, with the serial put in). The certificates are not
signed again and the audit hashes are random, so such a state serves to measure and for nothing else.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

from iotonboard.model import RevocationReason, SerialNumber
from iotonboard.pki.crl_entry import encode_entry

_GROUP = 20_000


def grow(database: Path, devices: int) -> None:
    """Add devices until there are so many."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    (have,) = connection.execute("SELECT count(*) FROM device").fetchone()
    while have < devices:
        size = min(_GROUP, devices - have)
        connection.execute("BEGIN")
        _add(connection, size)
        connection.execute("COMMIT")
        have += size
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _template(connection: sqlite3.Connection, table: str, where: str = "1") -> dict[str, object]:
    cursor = connection.execute(f"SELECT * FROM {table} WHERE {where} ORDER BY 1 DESC LIMIT 1")  # noqa: S608
    return dict(zip([column[0] for column in cursor.description], cursor.fetchone(), strict=True))


def _insert(connection: sqlite3.Connection, table: str, rows: list[dict[str, object]]) -> None:
    names = list(rows[0])
    marks = ", ".join(f":{name}" for name in names)
    connection.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", rows)  # noqa: S608


def _add(connection: sqlite3.Connection, count: int) -> None:
    device = _template(connection, "device")
    certificate = _template(connection, "certificate", "device IS NOT NULL")
    audit = _template(connection, "audit", "command = 'register'")
    (last,) = connection.execute("SELECT max(seq) FROM audit").fetchone()
    old = bytes(certificate["serial"])  # type: ignore[call-overload]
    devices, certificates, trail = [], [], []
    for number in range(1, count + 1):
        name, serial = str(uuid.uuid4()), bytes((old[0],)) + os.urandom(len(old) - 1)
        row, own = int(device["id"]) + number, int(certificate["id"]) + number  # type: ignore[call-overload]
        der = bytes(certificate["der"]).replace(old, serial)  # type: ignore[call-overload]
        devices.append({**device, "id": row, "device_id": name})
        certificates.append({**certificate, "id": own, "device": row, "serial": serial, "der": der,
                             "spki_sha256": os.urandom(32), "salt": os.urandom(16)})  # fmt: skip
        trail.append({**audit, "seq": last + number, "subject": name, "serial": serial.hex().upper(),
                      "hash": os.urandom(32)})  # fmt: skip
    _insert(connection, "device", devices)
    _insert(connection, "certificate", certificates)
    _insert(connection, "audit", trail)


def revoke(database: Path, count: int) -> None:
    """Revoke the first ``count`` devices that are not revoked, as ``revoke --defer`` records it."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    rows = connection.execute(
        "SELECT id, issuer, serial, not_after FROM certificate WHERE device IS NOT NULL"
        " AND id NOT IN (SELECT certificate FROM revocation) ORDER BY id LIMIT ?",
        (count,),
    )
    now, reason = datetime.now(UTC).replace(microsecond=0), RevocationReason.SUPERSEDED
    connection.executemany(
        "INSERT INTO revocation (certificate, issuer, revocation_date, reason, not_after, entry_der)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (
            (row, issuer, int(now.timestamp()), reason.value, not_after, encode_entry(_serial(serial), now, reason))
            for row, issuer, serial, not_after in rows.fetchall()
        ),
    )
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _serial(octets: bytes) -> SerialNumber:
    return SerialNumber(int.from_bytes(octets))


if __name__ == "__main__":
    grow(Path(sys.argv[1]), int(sys.argv[2]))
    revoke(Path(sys.argv[1]), int(sys.argv[3]))
