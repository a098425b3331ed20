"""The fleet: devices of all stations that are trusted, with their certificates, as the registry notes them.

A revocation that the office ordered counts here from then on, though the station's list does not have it yet.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from iotonboard.model import (
    Access,
    RevocationReason,
    RevocationRecord,
    SerialNumber,
    TopicRule,
    Validity,
    from_epoch,
    status_of,
    to_epoch,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from iotonboard.store.registry.registry import Registry

_PAGE = 500


@dataclass(frozen=True, slots=True)
class FleetCertificate:
    """A certificate of a device. ``is_ordered``: its revocation was ordered, and is not on the station's list yet.

    ``ca`` is the key of the CA that issued it (``pki.key_id``), ``fingerprint`` in lower-case hex.
    """

    serial: SerialNumber
    validity: Validity
    fingerprint: str
    profile: str
    ca: str
    revocation: RevocationRecord | None
    is_ordered: bool


@dataclass(frozen=True, slots=True)
class FleetDevice:
    """A device of a station, with its certificates, newest first."""

    station: str
    station_id: int
    row: int
    device_id: str
    name: str
    attributes: Mapping[str, str]
    created_at: datetime
    retired_at: datetime | None
    certificates: tuple[FleetCertificate, ...]

    def status(self, now: datetime) -> str:
        """As at its station, but that ordered revocations count."""
        return status_of(self.retired_at, self.certificates, now)


@dataclass(frozen=True, slots=True)
class FleetFilter:
    """Which devices are meant; empty or ``None`` means any.

    ``expiring_before`` takes those that are valid now, with ``expired_since`` also those that expired since then.
    """

    status: str | None = None
    station: str = ""
    expiring_before: datetime | None = None
    expired_since: datetime | None = None
    attributes: tuple[tuple[str, str], ...] = ()

    def takes(self, device: FleetDevice, now: datetime) -> bool:
        """Say whether a device is one of these."""
        if any(device.attributes.get(key) != value for key, value in self.attributes):
            return False
        status = device.status(now)
        if self.status is not None and status != self.status:
            return False
        if self.expiring_before is None:
            return True
        valid = [one.validity.not_after for one in device.certificates if one.revocation is None]
        begin = self.expired_since or now
        return status in {"active", "expired"} and bool(valid) and begin <= max(valid) < self.expiring_before


# The devices that can have a status, where they are few among many: an index or a small table leads to them.
_ENDED = "SELECT c.station, c.device FROM certificate c WHERE c.not_after >= ? AND c.not_after < ?"
_TAKEN_BACK = """SELECT c.station, c.device FROM revocation r JOIN certificate c
    ON c.station = r.station AND c.id = r.certificate UNION SELECT c.station, c.device FROM revocation_order o
    JOIN certificate c ON c.station = o.station AND c.serial = o.serial WHERE o.closed_at IS NULL"""
_COLUMNS = """d.folded, d.station, d.id, s.name, d.device_id, d.name, d.attributes, d.created_at, d.retired_at,
    c.serial, c.not_before, c.not_after, c.fingerprint, c.profile, i.key, r.revocation_date, r.reason,
    o.ordered_at, o.reason"""
_JOINS = """JOIN station s ON s.id = d.station
    LEFT JOIN certificate c ON c.station = d.station AND c.device = d.id
    LEFT JOIN issuer i ON i.station = c.station AND i.id = c.issuer
    LEFT JOIN revocation r ON r.station = c.station AND r.certificate = c.id
    LEFT JOIN revocation_order o ON o.station = c.station AND o.serial = c.serial AND o.closed_at IS NULL
        AND o.id = (SELECT max(n.id) FROM revocation_order n WHERE n.station = c.station AND n.serial = c.serial)"""
_ORDER = "ORDER BY d.folded, d.station, d.id"
_BEGIN = ("", 0, 0)


def find_fleet(registry: Registry, chosen: FleetFilter, now: datetime) -> Iterator[FleetDevice]:
    """Devices in the order of their ids, without regard to case, read in pages."""
    clauses, parameters = _clauses(chosen, now)
    page = f"""SELECT d.* FROM device d JOIN station t ON t.id = d.station WHERE (d.folded, d.station, d.id) > (?, ?, ?)
        AND t.removed_at IS NULL {clauses} {_ORDER} LIMIT {_PAGE}"""
    query = f"SELECT {_COLUMNS} FROM ({page}) d {_JOINS} {_ORDER}, c.id DESC"
    after = _BEGIN
    while rows := registry.rows(query, (*after, *parameters)):
        devices = [_device(list(of_one)) for _, of_one in groupby(rows, itemgetter(0, 1, 2))]
        yield from (device for device in devices if chosen.takes(device, now))
        if len(devices) < _PAGE:
            return
        after = rows[-1][:3]


def _clauses(chosen: FleetFilter, now: datetime) -> tuple[str, list[object]]:
    text, parameters = "", list[object]()
    if chosen.station:
        text, parameters = "AND t.name = ?", [chosen.station]
    if chosen.status == "retired":
        text += " AND d.retired_at IS NOT NULL"
    elif chosen.status in {"revoked", "on-hold"}:
        text += f" AND (d.station, d.id) IN ({_TAKEN_BACK})"
    elif chosen.status == "expired":
        text += f" AND (d.station, d.id) IN ({_ENDED})"
        parameters += [0, to_epoch(now)]
    if chosen.expiring_before is not None:
        text += f" AND (d.station, d.id) IN ({_ENDED})"
        parameters += [to_epoch(chosen.expired_since or now), to_epoch(chosen.expiring_before)]
    return text, parameters


def devices_called(registry: Registry, folded: str) -> list[FleetDevice]:
    """The devices whose ids fold to this, at every station, in the order of the stations' names."""
    return _found(registry, "d.folded = ?", (folded,))


def devices_with(registry: Registry, column: str, value: bytes) -> list[FleetDevice]:
    """The devices that have a certificate with that ``serial`` or ``fingerprint`` (octets)."""
    query = f"(d.station, d.id) IN (SELECT h.station, h.device FROM certificate h WHERE h.{column} = ?)"
    return _found(registry, query, (value,))


def _found(registry: Registry, condition: str, parameters: Sequence[object]) -> list[FleetDevice]:
    query = f"""SELECT {_COLUMNS} FROM device d {_JOINS} WHERE s.removed_at IS NULL AND {condition}
        ORDER BY s.name, d.station, d.id, c.id DESC"""
    return [_device(list(rows)) for _, rows in groupby(registry.rows(query, parameters), itemgetter(1, 2))]


def topics_of(registry: Registry, device: FleetDevice) -> list[TopicRule]:
    """The rules that a device has for itself."""
    query = "SELECT access, topic FROM topic WHERE station = ? AND device = ? ORDER BY access, topic"
    rows = registry.rows(query, (device.station_id, device.row))
    return [TopicRule(Access(access), topic) for access, topic in rows]


def ca_certificates(registry: Registry) -> dict[str, bytes]:
    """The CAs of all stations (DER) by their keys."""
    return {key: bytes(der) for key, der in registry.rows("SELECT key, der FROM issuer")}


def _device(rows: list[Any]) -> FleetDevice:
    _, station_id, number, station, device_id, name, attributes, created, retired, *_ = rows[0]
    return FleetDevice(
        station, station_id, number, device_id, name, json.loads(attributes), from_epoch(created),
        None if retired is None else from_epoch(retired),
        tuple(_certificate(row[9:]) for row in rows if row[9] is not None),
    )  # fmt: skip


def _certificate(row: Sequence[Any]) -> FleetCertificate:
    serial, begin, end, fingerprint, profile, ca, date, reason, ordered_at, ordered_for = row
    number, revocation = SerialNumber.from_octets(bytes(serial)), None
    if date is not None:
        revocation = RevocationRecord(number, from_epoch(date), RevocationReason(reason))
    is_ordered = ordered_at is not None and (revocation is None or revocation.is_hold)
    if is_ordered:
        revocation = RevocationRecord(number, from_epoch(ordered_at), RevocationReason(ordered_for))
    validity = Validity(from_epoch(begin), from_epoch(end))
    return FleetCertificate(number, validity, bytes(fingerprint).hex(), profile, ca or "", revocation, is_ordered)
