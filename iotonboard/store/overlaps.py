"""Overlaps: certificates that a renewal left valid beside the new one, until they are superseded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.model import SerialNumber, from_epoch, to_epoch
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


def begin_overlap(store: Store, serial: SerialNumber, ends_at: datetime | None) -> None:
    """Leave a certificate valid beside its successor; an end that was set before stays."""
    store.execute(
        "INSERT INTO overlap (certificate, ends_at) VALUES (?, ?) ON CONFLICT (certificate)"
        " DO UPDATE SET ends_at = coalesce(overlap.ends_at, excluded.ends_at)",
        (certificate_row(store, serial), None if ends_at is None else to_epoch(ends_at)),
    )


def overlap_end(store: Store, certificate: int) -> datetime | None:
    """When a renewed certificate is revoked as superseded; ``None``: it was not renewed, or is left as it is."""
    row = store.row("SELECT ends_at FROM overlap WHERE certificate = ?", (certificate,))
    return from_epoch(row[0]) if row and row[0] is not None else None


def overdue_overlaps(store: Store, now: datetime) -> list[tuple[SerialNumber, str]]:
    """Serial and device of each certificate whose overlap is over and that is still valid."""
    rows = store.rows(_OVERDUE, {"now": to_epoch(now)})
    return [(SerialNumber(int.from_bytes(serial)), device_id) for serial, device_id in rows]
