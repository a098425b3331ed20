"""Notes of what an office ordered of its stations; what stands is decided in the trail (``office/decisions.py``).

Everything happens in the caller's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.model import from_epoch, to_epoch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from iotonboard.model import RevocationReason, SerialNumber
    from iotonboard.store.registry.registry import Registry


def note_revocation(
    registry: Registry,
    number: int,
    station: int,
    serial: SerialNumber,
    device_id: str,
    reason: RevocationReason,
    now: datetime,
) -> None:
    """Note a revocation that was ordered."""
    registry.execute(
        "INSERT INTO revocation_order (id, station, serial, device_id, reason, ordered_at) VALUES (?, ?, ?, ?, ?, ?)",
        (number, station, serial.octets, device_id, reason.value, to_epoch(now)),
    )


def note_closed(registry: Registry, number: int, crl_number: int, now: datetime) -> None:
    """Note that the list came back that carries it."""
    query = "UPDATE revocation_order SET closed_at = ?, crl_number = ? WHERE id = ?"
    registry.execute(query, (to_epoch(now), crl_number, number))


def note_production(
    registry: Registry, number: int, station: int, devices: int, profile: str, until: datetime, now: datetime
) -> None:
    """Note what a station may make."""
    registry.execute(
        "INSERT INTO production_order (id, station, devices, profile, until, signed_at) VALUES (?, ?, ?, ?, ?, ?)",
        (number, station, devices, profile, to_epoch(until), to_epoch(now)),
    )


def note_withdrawn(registry: Registry, number: int, now: datetime) -> None:
    """Note that it may make no more of it."""
    registry.execute("UPDATE production_order SET withdrawn_at = ? WHERE id = ?", (to_epoch(now), number))


@dataclass(frozen=True, slots=True)
class ListedBy:
    """A list that may carry a certificate's serial; ``not_after``: when that certificate ends."""

    number: int
    this_update: datetime
    not_after: datetime
    der: bytes


def lists_about(registry: Registry, station: int, serial: SerialNumber) -> Iterator[ListedBy]:
    """The newest lists of the CA that issued a certificate, as the station told them, first those in force first."""
    query = """SELECT l.number, l.this_update, c.not_after, l.der FROM certificate c JOIN crl l
        ON l.station = c.station AND l.issuer = c.issuer WHERE c.station = ? AND c.serial = ? AND l.der IS NOT NULL
        ORDER BY l.generation DESC, l.id"""
    for number, begin, end, der in registry.each_row(query, (station, serial.octets)):
        yield ListedBy(number, from_epoch(begin), from_epoch(end), bytes(der))


def produced(registry: Registry) -> dict[int, int]:
    """How many devices were made under each order, as their stations tell; a device with two certificates is one."""
    query = """SELECT p.production_order, count(DISTINCT c.device) FROM production p
        JOIN certificate c ON c.station = p.station AND c.id = p.certificate
        WHERE p.production_order > 0 GROUP BY p.production_order"""
    return dict(registry.rows(query))


def made_without(registry: Registry, since: Mapping[int, int]) -> dict[int, int]:
    """How many devices stations made under no order, each from a moment (epoch) on."""
    query = """SELECT count(*) FROM device d WHERE d.station = ? AND d.created_at >= ? AND NOT EXISTS (SELECT 1
        FROM production p JOIN certificate c ON c.station = p.station AND c.id = p.certificate
        WHERE c.station = d.station AND c.device = d.id AND p.production_order > 0)"""
    return {station: registry.row(query, (station, moment))[0] for station, moment in since.items()}


def answered(registry: Registry) -> dict[int, int]:
    """The number of the newest orders that each station took, as its newest journal tells."""
    return dict(registry.rows("SELECT id, answered FROM station"))
