"""A device's life after its first certificate: overlaps of renewals, holds, retirement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.errors import ConflictError
from iotonboard.model import RevocationReason, SerialNumber, from_epoch, to_epoch
from iotonboard.store.certificates import certificate_row

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.store.store import Store

# An overlap that is over, of a certificate that still counts, with a newer one to take its place.
_OVERDUE = """SELECT c.serial, d.device_id FROM overlap o JOIN certificate c ON c.id = o.certificate
    JOIN device d ON d.id = c.device WHERE o.ends_at <= :now AND c.not_after >= :now
    AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.certificate = c.id)
    AND EXISTS (SELECT 1 FROM certificate n WHERE n.device = c.device AND n.id > c.id AND n.not_after >= :now
        AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.certificate = n.id))"""


def refuse_retired(store: Store, device: int, device_id: str) -> None:
    """Refuse to go on with a device that was retired: its id is never given again.

    Raises:
        ConflictError: it was retired.
    """
    row = store.connection.execute("SELECT retired_at FROM device WHERE id = ?", (device,)).fetchone()
    if row and row[0] is not None:
        raise ConflictError(
            f"device {str(device_id)!r} was retired, and its id is never given again", hint="choose another id"
        )


def retire(store: Store, device: int, now: datetime) -> None:
    """Mark a device as retired, inside the caller's transaction."""
    store.connection.execute("UPDATE device SET retired_at = ? WHERE id = ?", (to_epoch(now), device))


def is_retired(store: Store, device: int) -> bool:
    """Say whether a device was retired."""
    row = store.connection.execute("SELECT retired_at IS NOT NULL FROM device WHERE id = ?", (device,)).fetchone()
    return bool(row[0])


def is_device_made(store: Store, serial: SerialNumber) -> bool:
    """Say whether the key of a certificate never was on the workstation; an erased key was."""
    query = "SELECT key_der IS NULL FROM certificate WHERE serial = ?"
    return bool(store.connection.execute(query, (serial.octets,)).fetchone()[0])


def held(store: Store, device: int) -> list[SerialNumber]:
    """Serials of a device's certificates that are on hold, oldest first."""
    query = (
        "SELECT c.serial FROM certificate c JOIN revocation r ON r.certificate = c.id"
        " WHERE c.device = ? AND r.reason = ? ORDER BY c.id"
    )
    rows = store.connection.execute(query, (device, RevocationReason.CERTIFICATE_HOLD.value))
    return [SerialNumber(int.from_bytes(row[0])) for row in rows]


def begin_overlap(store: Store, serial: SerialNumber, ends_at: datetime | None) -> None:
    """Leave a certificate valid beside its successor; an end that was set before stays."""
    store.connection.execute(
        "INSERT INTO overlap (certificate, ends_at) VALUES (?, ?) ON CONFLICT (certificate)"
        " DO UPDATE SET ends_at = coalesce(overlap.ends_at, excluded.ends_at)",
        (certificate_row(store, serial), None if ends_at is None else to_epoch(ends_at)),
    )


def overlap_end(store: Store, certificate: int) -> datetime | None:
    """When a renewed certificate is revoked as superseded; ``None``: it was not renewed, or is left as it is."""
    row = store.connection.execute("SELECT ends_at FROM overlap WHERE certificate = ?", (certificate,)).fetchone()
    return from_epoch(row[0]) if row and row[0] is not None else None


def overdue_overlaps(store: Store, now: datetime) -> list[tuple[SerialNumber, str]]:
    """Serial and device of each certificate whose overlap is over and that is still valid."""
    rows = store.connection.execute(_OVERDUE, {"now": to_epoch(now)})
    return [(SerialNumber(int.from_bytes(serial)), device_id) for serial, device_id in rows]
