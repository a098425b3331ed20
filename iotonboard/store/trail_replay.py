"""What the audit trail says was done to each certificate, folded into a temporary table.

The table is temporary, so SQLite moves it to disk when it grows; the queries of ``inspection.py`` join it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.store import audit

if TYPE_CHECKING:
    from iotonboard.model import SerialNumber
    from iotonboard.store.store import Store

_TABLE = "CREATE TEMP TABLE trail (serial BLOB PRIMARY KEY, subject TEXT, fingerprint TEXT, revoked TEXT, bundle TEXT)"


@dataclass(frozen=True, slots=True)
class TrailEntry:
    """What the trail says of one certificate; ``None`` where it says nothing.

    ``fingerprint`` and ``bundle`` are SHA-256 in lower-case hex, ``revoked`` is a reason.
    """

    subject: str | None
    fingerprint: str | None
    revoked: str | None
    bundle: str | None


def fold_trail(store: Store) -> None:
    """Read the trail through and keep what it says in the end of each certificate."""
    store.execute("DROP TABLE IF EXISTS temp.trail")
    store.execute(_TABLE)
    for row in audit.rows(store):
        if not row.serial or row.subject == "ca":
            continue
        serial, detail = store.make_record(_said, (row.serial, row.detail))
        store.execute("INSERT OR IGNORE INTO trail (serial, subject) VALUES (?, ?)", (serial, row.subject))
        for column in ("fingerprint", "bundle", "revoked"):
            if isinstance(detail.get(column), str):
                store.execute(f"UPDATE trail SET {column} = ? WHERE serial = ?", (detail[column], serial))
        if "released" in detail:
            store.execute("UPDATE trail SET revoked = NULL WHERE serial = ?", (serial,))


def _said(serial: str, detail: str) -> tuple[bytes, dict[str, object]]:
    found = json.loads(detail)
    if not isinstance(found, dict):
        raise TypeError("the detail of a row is no JSON object")
    return bytes.fromhex(serial).rjust(20, b"\0"), found


def trail_entry(store: Store, serial: SerialNumber) -> TrailEntry | None:
    """What the trail that was folded says of a certificate; ``None`` when it does not know it."""
    query = "SELECT subject, fingerprint, revoked, bundle FROM temp.trail WHERE serial = ?"
    return store.record(TrailEntry, query, (serial.octets,))
