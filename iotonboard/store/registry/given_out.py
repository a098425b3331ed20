"""What an office gives out to brokers, asked of a registry: lists, CAs, who stands in the ACL, station by station."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import filterfalse, groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from iotonboard.model import from_epoch, to_epoch
from iotonboard.store.registry.stations import add_station

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from iotonboard.store.registry.registry import Registry

_UNREVOKED = "NOT EXISTS (SELECT 1 FROM revocation v WHERE v.station = {0}.station AND v.certificate = {0}.id)"
_VALID = f"o.not_after >= ? AND {_UNREVOKED.format('o')}"
# Devices of a station whose every certificate is revoked; computed from the revocations, which are few: SQLite takes
# the tables of a CROSS JOIN in their order.
_FULLY_REVOKED = f"""SELECT c.device FROM revocation r
    CROSS JOIN certificate c WHERE c.station = r.station AND c.id = r.certificate
    AND r.station = ? AND c.device IS NOT NULL AND r.not_after >= ? AND NOT EXISTS (
        SELECT 1 FROM certificate o WHERE o.station = c.station AND o.device = c.device AND {_VALID})"""
# A device whose certificate was revoked that its station has no row of, while it has no valid one of it either.
_LOST = f"""SELECT l.device_id FROM lost_device l WHERE l.station = ? AND NOT EXISTS (SELECT 1 FROM device d
    CROSS JOIN certificate o WHERE o.station = d.station AND o.device = d.id
    AND d.station = l.station AND d.device_id = l.device_id AND {_VALID})"""
_DEVICES = _FULLY_REVOKED.replace("SELECT c.device", "SELECT DISTINCT c.station, c.device")
_DENIED = f"""SELECT d.device_id FROM ({_DEVICES}) f CROSS JOIN device d WHERE d.station = f.station AND d.id = f.device
    UNION {_LOST}"""
_SAME = "same names"
_FEW = 10_000  # ids that are worth keeping in memory, so that SQLite need not look for each of a million


def make_fast(registry: Registry) -> None:
    """Let a registry that can be made anew at any time be written without waiting for the disk."""
    registry.execute("PRAGMA synchronous = OFF")


def note_station(registry: Registry, number: int, certificate: bytes, now: datetime) -> None:
    """Have a station that rows can belong to, in the caller's transaction."""
    if registry.row("SELECT 1 FROM station WHERE id = ?", (number,)) is None:
        add_station(registry, number, str(number), certificate, now)


@dataclass(frozen=True, slots=True)
class Issuer:
    """A CA of a station by its row: its certificate, and those (DERs one behind the other) of how it goes out."""

    id: int
    key: str
    der: bytes
    chain: bytes
    is_retired: bool


def issuers(registry: Registry, station: int) -> list[Issuer]:
    """The CAs of a station, the one that issues first."""
    query = "SELECT id, key, der, chain, retired_at FROM issuer WHERE station = ? ORDER BY id DESC"
    return [
        Issuer(row, key, bytes(der), bytes(chain or b""), retired is not None)
        for row, key, der, chain, retired in registry.rows(query, (station,))
    ]


@dataclass(frozen=True, slots=True)
class List:
    """A list that a CA (its row) signed; its octets are asked for one at a time."""

    id: int
    issuer: int
    number: int
    this_update: datetime
    next_update: datetime
    revoked: int


def newest_lists(registry: Registry, station: int) -> list[List]:
    """The lists that a station published last, in the order of its file."""
    query = """SELECT id, issuer, number, this_update, next_update, revoked FROM crl
        WHERE station = ? AND der IS NOT NULL
        AND generation = (SELECT max(generation) FROM crl WHERE station = ?) ORDER BY issuer DESC, number"""
    return [
        List(row, issuer, number, from_epoch(begin), from_epoch(end), revoked)
        for row, issuer, number, begin, end, revoked in registry.rows(query, (station, station))
    ]


def list_der(registry: Registry, station: int, row: int) -> bytes:
    """The octets of a list."""
    return bytes(registry.row("SELECT der FROM crl WHERE station = ? AND id = ?", (station, row))[0])


def root_lists(registry: Registry, station: int) -> list[bytes]:
    """The lists (DER) of the CAs above a station's that it has."""
    query = "SELECT der FROM root_crl WHERE station = ? ORDER BY root"
    return [bytes(der) for (der,) in registry.rows(query, (station,))]


def left_serials(registry: Registry, station: int, issuer: int, since: datetime, now: datetime) -> dict[bytes, str]:
    """Serials that are on no list of a CA any more, and why: ``expired`` after ``since``, or ``released``."""
    expired = """SELECT c.serial FROM revocation r JOIN certificate c ON c.station = r.station AND c.id = r.certificate
        WHERE r.station = ? AND r.issuer = ? AND r.not_after BETWEEN ? AND ?"""
    released = f"""SELECT c.serial FROM released r JOIN certificate c ON c.station = r.station AND c.id = r.certificate
        WHERE r.station = ? AND c.issuer = ? AND {_UNREVOKED.format("c")}"""
    times = (station, issuer, to_epoch(since), to_epoch(now))
    found = {bytes(serial): "expired" for (serial,) in registry.rows(expired, times)}
    return found | {bytes(serial): "released" for (serial,) in registry.rows(released, (station, issuer))}


def permitted_ids(registry: Registry, station: int, now: datetime) -> Iterator[str]:
    """Ids of a station's devices, in the order in which they were made.

    But for the retired, and those with a revoked certificate and no valid one.
    """
    moment = to_epoch(now)
    every = "SELECT device_id FROM device WHERE station = ? AND retired_at IS NULL{} ORDER BY id"
    few = registry.rows(f"SELECT device_id FROM ({_DENIED}) LIMIT {_FEW + 1}", (station, 0, moment, station, moment))
    if len(few) > _FEW:  # too many for the memory
        query = every.format(f" AND id NOT IN ({_FULLY_REVOKED}) AND device_id NOT IN ({_LOST})")
        return map(itemgetter(0), registry.each_row(query, (station, station, 0, moment, station, moment)))
    left_out = frozenset(map(itemgetter(0), few))
    return filterfalse(left_out.__contains__, map(itemgetter(0), registry.each_row(every.format(""), (station,))))


def denied_ids(registry: Registry, station: int, now: datetime, listed_since: datetime) -> list[str]:
    """Ids of a station's devices with a listed revocation and no valid certificate, in the order of their octets."""
    moment = to_epoch(now)
    values = (station, to_epoch(listed_since), moment, station, moment)
    return [name for (name,) in registry.rows(f"{_DENIED} ORDER BY 1", values)]


def ids_with(registry: Registry, station: int, serial: bytes) -> list[str]:
    """The devices of a station that have a certificate with a serial number: one, or none."""
    query = """SELECT d.device_id FROM certificate c JOIN device d ON d.station = c.station AND d.id = c.device
        WHERE c.serial = ? AND c.station = ?"""
    return [name for (name,) in registry.rows(query, (serial, station))]


def living_ids(registry: Registry, station: int, now: datetime) -> Iterator[str]:
    """Ids of a station's devices with a valid certificate."""
    query = f"""SELECT DISTINCT d.device_id FROM certificate o
        JOIN device d ON d.station = o.station AND d.id = o.device
        WHERE o.station = ? AND d.retired_at IS NULL AND {_VALID}"""
    return map(itemgetter(0), registry.each_row(query, (station, to_epoch(now))))


def topics(registry: Registry, station: int) -> dict[str, list[tuple[str, str]]]:
    """Access and topic of the rules that devices of a station have of their own, by their ids."""
    query = """SELECT d.device_id, t.access, t.topic FROM topic t
        JOIN device d ON d.station = t.station AND d.id = t.device
        WHERE t.station = ? ORDER BY d.device_id, t.topic, t.access"""
    rows = registry.each_row(query, (station,))
    return {name: [(access, topic) for _, access, topic in found] for name, found in groupby(rows, key=itemgetter(0))}


def count_devices(registry: Registry, station: int) -> int:
    """How many devices of a station are not retired."""
    query = "SELECT count(*) FROM device WHERE station = ? AND retired_at IS NULL"
    return int(registry.row(query, (station,))[0])


@dataclass(frozen=True, slots=True)
class SameName:
    """A device whose id, without regard to case, is another station's too. ``lives``: it has a valid certificate."""

    folded: str
    station: int
    device_id: str
    lives: bool


def note_same_names(registry: Registry) -> None:
    """Note which ids several stations have, in the caller's transaction: to find them takes a look at every device."""
    rows = registry.rows("SELECT folded FROM device GROUP BY folded HAVING min(station) <> max(station)")
    registry.set_value(_SAME, json.dumps([name for (name,) in rows]))


def same_names(registry: Registry, stations: Collection[int], now: datetime) -> dict[str, list[SameName]]:
    """The devices of several of some stations that brokers may take for one, by what their ids have in common.

    Of those that were noted.
    """
    query = f"""SELECT d.folded, d.station, d.device_id, d.retired_at IS NULL AND EXISTS (SELECT 1 FROM certificate o
            WHERE o.station = d.station AND o.device = d.id AND {_VALID})
        FROM device d WHERE d.folded = ? ORDER BY d.station, d.id"""
    names = json.loads(registry.value(_SAME) or "[]")
    rows = (row for name in names for row in registry.rows(query, (to_epoch(now), name)))
    found = [SameName(one, station, name, bool(lives)) for one, station, name, lives in rows if station in stations]
    return {name: list(same) for name, same in groupby(found, key=lambda one: one.folded)}
