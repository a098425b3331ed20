"""Overlaps: certificates that a renewal left valid beside the new one, until they are superseded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.model import SerialNumber, from_epoch, to_epoch

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.store.store import Store

# An overlap that is over, of a certificate that still counts, with a newer one to take its place.
_OVERDUE = """SELECT c.serial, d.device_id FROM overlap o JOIN unrevoked_certificate c ON c.id = o.certificate
    JOIN device d ON d.id = c.device WHERE o.ends_at <= :now AND c.not_after >= :now AND EXISTS (
        SELECT 1 FROM unrevoked_certificate n WHERE n.device = c.device AND n.id > c.id AND n.not_after >= :now)"""


@dataclass(frozen=True, slots=True)
class Overdue:
    """A certificate that was renewed and is to be revoked as superseded by now."""

    serial: SerialNumber
    device_id: str


def begin_overlap(store: Store, serial: SerialNumber, ends_at: datetime | None) -> None:
    """Leave a certificate valid beside its successor; an end that was set before stays."""
    store.execute(
        "INSERT INTO overlap (certificate, ends_at) SELECT id, ? FROM certificate WHERE serial = ?"
        " ON CONFLICT (certificate) DO UPDATE SET ends_at = coalesce(overlap.ends_at, excluded.ends_at)",
        (None if ends_at is None else to_epoch(ends_at), serial.octets),
    )


def overlap_end(store: Store, serial: SerialNumber) -> datetime | None:
    """When a renewed certificate is revoked as superseded; ``None``: it was not renewed, or is left as it is."""
    query = """SELECT o.ends_at FROM overlap o JOIN certificate c ON c.id = o.certificate
        WHERE c.serial = ? AND o.ends_at IS NOT NULL"""
    return store.record(from_epoch, query, (serial.octets,))


def overdue_overlaps(store: Store, now: datetime) -> list[Overdue]:
    """Each certificate whose overlap is over and that is still valid."""
    return store.records(
        lambda serial, device_id: Overdue(SerialNumber.from_octets(serial), device_id), _OVERDUE, {"now": to_epoch(now)}
    )
