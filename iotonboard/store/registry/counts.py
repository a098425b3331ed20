"""What the report of an office counts, inside the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.model import to_epoch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iotonboard.store.registry.registry import Registry


def count_fleet(registry: Registry, now: datetime) -> dict[str, dict[str, int]]:
    """How many devices of each station have each status, as ``FleetDevice.status`` says."""
    valid = "r.certificate IS NULL AND o.id IS NULL"
    query = f"""SELECT x.station, x.status, count(*) FROM (SELECT s.name AS station,
        CASE WHEN d.retired_at IS NOT NULL THEN 'retired'
            WHEN max(CASE WHEN {valid} AND c.not_after >= ? THEN 1 ELSE 0 END) = 1 THEN 'active'
            WHEN max(CASE WHEN r.reason = 'certificateHold' AND o.id IS NULL AND c.not_after >= ? THEN 1 ELSE 0 END) = 1
                THEN 'on-hold'
            WHEN max(CASE WHEN {valid} THEN c.id ELSE 0 END) = max(c.id) THEN 'expired' ELSE 'revoked' END AS status
        FROM device d JOIN station s ON s.id = d.station AND s.removed_at IS NULL
        LEFT JOIN certificate c ON c.station = d.station AND c.device = d.id
        LEFT JOIN revocation r ON r.station = c.station AND r.certificate = c.id
        LEFT JOIN revocation_order o ON o.station = c.station AND o.serial = c.serial AND o.closed_at IS NULL
        GROUP BY s.name, d.station, d.id, d.retired_at) x GROUP BY x.station, x.status"""
    found: dict[str, dict[str, int]] = {}
    for station, status, count in registry.rows(query, (to_epoch(now), to_epoch(now))):
        found.setdefault(station, {})[status] = count
    return found


_REGISTERED = "SELECT d.created_at AS moment FROM device d"
_REVOKED = "SELECT r.revocation_date AS moment FROM revocation r WHERE r.reason <> 'superseded'"
_ENDING = """SELECT max(c.not_after) AS moment FROM certificate c WHERE c.device IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.station = c.station AND r.certificate = c.id)
    GROUP BY c.station, c.device"""


def registered(registry: Registry, borders: Sequence[datetime]) -> list[int]:
    """How many devices were registered before the first of some moments, between each two of them, and behind all."""
    return _between(registry, _REGISTERED, borders)


def revoked(registry: Registry, borders: Sequence[datetime]) -> list[int]:
    """As ``registered``, of revocations, those of renewed certificates aside."""
    return _between(registry, _REVOKED, borders)


def ending(registry: Registry, borders: Sequence[datetime]) -> list[int]:
    """As ``registered``, of the ends of devices' last valid certificates."""
    return _between(registry, _ENDING, borders)


def _between(registry: Registry, moments: str, borders: Sequence[datetime]) -> list[int]:
    steps = " ".join(f"WHEN m.moment < ? THEN {number}" for number in range(len(borders)))
    query = f"""SELECT x.place, count(*) FROM
        (SELECT CASE {steps} ELSE {len(borders)} END AS place FROM ({moments}) m) x GROUP BY x.place"""
    counts = dict(registry.rows(query, tuple(map(to_epoch, borders))))
    return [counts.get(place, 0) for place in range(len(borders) + 1)]
