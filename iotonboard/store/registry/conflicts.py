"""Ids that live at two stations: a broker only sees the name, and would take one for the other."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from iotonboard.model import from_epoch, to_epoch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from iotonboard.store.registry.registry import Registry

# Ids that are at two stations at all: a scan of one index, since nearly always there is none. A query of its own: where
# a server has no statistics yet it would run this for every device.
_TWICE = "SELECT folded FROM device GROUP BY folded HAVING min(station) <> max(station) ORDER BY folded"
_AT_ONCE = 500  # ids in a query


@dataclass(frozen=True, slots=True)
class LivingCertificate:
    """A certificate that a broker lets in."""

    serial: bytes
    not_before: datetime
    not_after: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class LivingDevice:
    """A device as its station, by its number, has it, with what of it is in force, oldest first."""

    station: int
    device_id: str
    name: str
    created_at: datetime
    certificates: tuple[LivingCertificate, ...]


@dataclass(frozen=True, slots=True)
class Conflict:
    """Devices of several stations that a broker takes for one; ``folded`` is what their ids have in common."""

    folded: str
    devices: tuple[LivingDevice, ...]


def conflicts(registry: Registry, stations: Collection[int], now: datetime) -> list[Conflict]:
    """The ids that live at more than one of some ``stations``, which are the trusted ones.

    A device lives that is not retired and has a certificate that is neither revoked, on hold, nor expired.
    """
    twice = [row[0] for row in registry.each_row(_TWICE)]
    found = [row for some in _batched(twice) for row in _living(registry, some, now) if row[1] in stations]
    made = [
        Conflict(folded, tuple(_device(list(rows)) for _, rows in groupby(of_id, key=lambda row: row[1])))
        for folded, of_id in groupby(found, key=lambda row: row[0])
    ]
    return [one for one in made if len(one.devices) > 1]


def _batched(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[begin : begin + _AT_ONCE] for begin in range(0, len(ids), _AT_ONCE))


def _living(registry: Registry, ids: Sequence[str], now: datetime) -> list[Any]:
    query = f"""SELECT d.folded, d.station, d.device_id, d.name, d.created_at, c.serial, c.not_before, c.not_after,
            c.created_at
        FROM device d JOIN certificate c ON c.station = d.station AND c.device = d.id
        WHERE d.folded IN ({", ".join("?" * len(ids))}) AND d.station IN (SELECT id FROM station WHERE has_acl = 1)
        AND d.retired_at IS NULL AND c.not_after >= ?
        AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.station = c.station AND r.certificate = c.id)
        ORDER BY d.folded, d.station, d.id, c.id"""
    return registry.rows(query, (*ids, to_epoch(now)))


def _device(rows: list[tuple[object, ...]]) -> LivingDevice:
    _, station, device_id, name, created_at, *_ = rows[0]
    certificates = tuple(LivingCertificate(bytes(row[5]), *map(from_epoch, row[6:])) for row in rows)  # type: ignore[arg-type, call-overload]
    return LivingDevice(station, device_id, name, from_epoch(created_at), certificates)  # type: ignore[arg-type]
