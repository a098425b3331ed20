"""What is revoked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.model import RevocationReason, RevocationRecord, SerialNumber, from_epoch, to_epoch

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.store.store import Store


def add_revocation(
    store: Store, serial: SerialNumber, date: datetime, reason: RevocationReason, entry_der: bytes
) -> None:
    """Record a revocation; one that is there already stays unless this reason replaces it."""
    store.execute(
        "INSERT INTO revocation (certificate, revocation_date, reason, not_after, entry_der)"
        " SELECT id, ?, ?, not_after, ? FROM certificate WHERE serial = ? ON CONFLICT (certificate)"
        " DO UPDATE SET reason = excluded.reason, revocation_date = excluded.revocation_date,"
        " entry_der = excluded.entry_der WHERE revocation.reason = 'certificateHold'"
        " OR (excluded.reason = 'keyCompromise' AND revocation.reason <> 'keyCompromise')",
        (to_epoch(date), reason.value, entry_der, serial.octets),
    )


def remove_revocation(store: Store, serial: SerialNumber) -> None:
    """Take a certificate off hold."""
    store.execute(
        "DELETE FROM revocation WHERE certificate = (SELECT id FROM certificate WHERE serial = ?)", (serial.octets,)
    )


def revocable(
    store: Store, device: int, now: datetime, reason: RevocationReason = RevocationReason.CERTIFICATE_HOLD
) -> list[SerialNumber]:
    """Serials of a device's unexpired certificates that can be revoked for ``reason``, oldest first.

    For a hold those are the valid ones.
    """
    query = (
        "SELECT c.serial, r.reason FROM certificate c LEFT JOIN revocation r ON r.certificate = c.id"
        " WHERE c.device = ? AND c.not_after >= ? ORDER BY c.id"
    )
    return [
        SerialNumber(int.from_bytes(serial))
        for serial, earlier in store.rows(query, (device, to_epoch(now)))
        if reason.replaces(earlier and RevocationReason(earlier))
    ]


def held(store: Store, device: int) -> list[SerialNumber]:
    """Serials of a device's certificates that are on hold, oldest first."""
    query = (
        "SELECT c.serial FROM certificate c JOIN revocation r ON r.certificate = c.id"
        " WHERE c.device = ? AND r.reason = ? ORDER BY c.id"
    )
    rows = store.rows(query, (device, RevocationReason.CERTIFICATE_HOLD.value))
    return [SerialNumber(int.from_bytes(row[0])) for row in rows]


def revocation_of(store: Store, serial: SerialNumber) -> RevocationRecord | None:
    """The revocation of a certificate that this state knows; ``None`` when it has none."""
    query = (
        "SELECT r.revocation_date, r.reason FROM revocation r JOIN certificate c ON c.id = r.certificate"
        " WHERE c.serial = ?"
    )
    row = store.row(query, (serial.octets,))
    return RevocationRecord(serial, from_epoch(row[0]), RevocationReason(row[1])) if row else None


def foreign_entry(store: Store, serial: SerialNumber) -> bytes | None:
    """The CRL entry of a revocation whose certificate this state does not know."""
    row = store.row("SELECT entry_der FROM foreign_revocation WHERE serial = ?", (serial.octets,))
    return row[0] if row else None


def set_foreign_entry(store: Store, issuer: int, serial: SerialNumber, entry_der: bytes | None) -> None:
    """Keep a revocation whose certificate this state does not know on every CRL, or with ``None`` forget it."""
    store.execute("DELETE FROM foreign_revocation WHERE serial = ?", (serial.octets,))
    if entry_der is not None:
        store.execute(
            "INSERT INTO foreign_revocation (issuer, serial, entry_der) VALUES (?, ?, ?)",
            (issuer, serial.octets, entry_der),
        )


def unlisted_revocations(store: Store) -> int:
    """How many revocations were recorded after the last CRL was signed."""
    return int(store.meta("unlisted_revocations") or 0)
