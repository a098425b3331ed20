"""What the audit trail says was done to each certificate, and what each row is, folded into temporary tables.

These are temporary, so SQLite moves them to disk when they grow; the queries of ``inspection.py`` join them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iotonboard.errors import PolicyError
from iotonboard.model import RevocationReason, SerialNumber
from iotonboard.store import audit, row_differences, trail_rows

if TYPE_CHECKING:
    from iotonboard.store.store import Store
    from iotonboard.store.trail_rows import AuditRow

_TABLE = """CREATE TEMP TABLE trail (serial BLOB PRIMARY KEY, subject TEXT, fingerprint TEXT, revoked TEXT, dated TEXT,
    bundle TEXT)"""


@dataclass(frozen=True, slots=True)
class TrailEntry:
    """What the trail says of one certificate; ``None`` where it says nothing.

    ``fingerprint`` and ``bundle`` are SHA-256 in lower-case hex, ``revoked`` is a reason and ``dated`` its RFC 3339
    time, which earlier versions did not write.
    """

    subject: str | None
    fingerprint: str | None
    revoked: str | None
    dated: str | None
    bundle: str | None


@dataclass(frozen=True, slots=True)
class Folded:
    """What was seen on the way: whether rows were sealed, and rows of the trail (numbers) that cannot be.

    ``anew``: that begin the seals a second time; ``weakened``: that take a revocation back as no command does.
    ``broken``: that tell of a broken seal, and what was broken.
    """

    is_sealed: bool
    anew: tuple[int, ...]
    weakened: tuple[int, ...]
    broken: tuple[tuple[int, str], ...]


def fold_trail(store: Store) -> Folded:
    """Read the trail through and keep what it says in the end of each certificate and row."""
    store.execute("DROP TABLE IF EXISTS temp.trail")
    store.execute(_TABLE)
    row_differences.begin_fold(store)
    is_sealed, anew, weakened, broken = False, [], [], list[tuple[int, str]]()
    for row in trail_rows.rows(store):
        if row.subject == audit.ROWS and not row.serial:
            detail = row.said
            if "checkpoint" in detail and is_sealed:
                anew.append(row.seq)
            is_sealed = True
            if "repaired" in detail:
                broken.clear()
            row_differences.fold(store, row.seq, _digests(detail), is_repair="repaired" in detail)
        elif row.subject == audit.TRAIL and not row.serial:
            broken.append((row.seq, str(row.said.get("broken_seal"))))
        elif row.serial and row.subject != "ca" and not _fold_certificate(store, row):
            weakened.append(row.seq)
    return Folded(is_sealed, tuple(anew), tuple(weakened), tuple(broken))


def _fold_certificate(store: Store, row: AuditRow) -> bool:
    """Take over what a row says of a certificate; ``False`` when no command can have done that."""
    try:
        serial, detail = SerialNumber.from_hex(row.serial).octets, row.said
    except PolicyError:  # the chain is broken there, which is told of it
        return True
    store.execute("INSERT OR IGNORE INTO trail (serial, subject) VALUES (?, ?)", (serial, row.subject))
    before = store.row("SELECT revoked FROM trail WHERE serial = ?", (serial,))[0]
    for column in ("fingerprint", "bundle", "revoked", "dated"):
        if isinstance(detail.get(column), str):
            store.execute(f"UPDATE trail SET {column} = ? WHERE serial = ?", (detail[column], serial))
    if "released" in detail:
        store.execute("UPDATE trail SET revoked = NULL, dated = NULL WHERE serial = ?", (serial,))
        return before in (None, RevocationReason.CERTIFICATE_HOLD.value)
    return _may_follow(before, detail.get("revoked"))


def _may_follow(before: Any, reason: Any) -> bool:
    if before is None or reason is None or before == reason:
        return True
    try:
        return RevocationReason(reason).replaces(RevocationReason(before))
    except (ValueError, PolicyError):
        return False


def _digests(detail: dict[str, Any]) -> dict[str, Any]:
    tables = detail.get("rows")
    tables = tables if isinstance(tables, dict) else {}
    return {table: rows for table, rows in tables.items() if isinstance(rows, dict)}


def trail_entry(store: Store, serial: SerialNumber) -> TrailEntry | None:
    """What the trail that was folded says of a certificate; ``None`` when it does not know it."""
    query = "SELECT subject, fingerprint, revoked, dated, bundle FROM temp.trail WHERE serial = ?"
    return store.record(TrailEntry, query, (serial.octets,))
