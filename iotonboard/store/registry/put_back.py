"""What a registry knows of a station's certificates that the station itself may know no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.model import to_epoch

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.store.registry.registry import Registry


@dataclass(frozen=True, slots=True)
class Known:
    """An unexpired certificate: whose it is, and why it is revoked; empty where it is not."""

    serial: bytes
    holder: str
    reason: str


def known_certificates(registry: Registry, station: int, now: datetime) -> dict[bytes, Known]:
    """The unexpired certificates of a station by their serials."""
    query = """SELECT c.serial, coalesce(d.device_id, c.host), coalesce(r.reason, '') FROM certificate c
        LEFT JOIN device d ON d.station = c.station AND d.id = c.device
        LEFT JOIN revocation r ON r.station = c.station AND r.certificate = c.id
        WHERE c.station = ? AND c.not_after >= ? ORDER BY c.id"""
    rows = registry.each_row(query, (station, to_epoch(now)))
    return {bytes(serial): Known(bytes(serial), holder, reason) for serial, holder, reason in rows}


def foreign_revocations(registry: Registry, station: int) -> set[bytes]:
    """The serials that a station lists without knowing their certificates."""
    query = "SELECT serial FROM foreign_revocation WHERE station = ?"
    return {bytes(row[0]) for row in registry.rows(query, (station,))}
