"""Revocations at an office: ordered and denied at once, and closed once the station's list has come back with them.

An order needs the registry and what was named, nothing else: no key, and no trail that is believed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import ConflictError, IotOnboardError, NotFoundError
from iotonboard.model import Refused, RevocationReason, SerialNumber
from iotonboard.office import decisions
from iotonboard.office.decisions import RevocationOrder
from iotonboard.office.meant import devices_meant
from iotonboard.pki.crl import find_entry
from iotonboard.pki.crl_entry import serial_and_reason
from iotonboard.store.registry.fleet import devices_with
from iotonboard.store.registry.orders import lists_about, note_closed, note_revocation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iotonboard.model import Target
    from iotonboard.office.office import Office
    from iotonboard.store.registry.fleet import FleetCertificate, FleetDevice


@dataclass(frozen=True, slots=True)
class Ordered:
    """What stands for one device that was named. ``serials``: whose revocation was ordered by this call.

    ``is_open``: a revocation of it is not on the station's list yet, be it ordered now or before. ``is_ended``: there
    was nothing to revoke, since its certificates have expired.
    """

    station: str
    device_id: str
    serials: tuple[SerialNumber, ...]
    reason: RevocationReason
    time: datetime | None
    is_open: bool
    is_ended: bool


def order_revocations(
    office: Office, targets: Sequence[Target | Refused], reason: RevocationReason, *, station: str, strict: bool
) -> list[Ordered | Refused]:
    """Order revocations in one transaction, which is committed when this returns.

    Raises:
        IotOnboardError: with ``strict``, of the first target that is refused; nothing was ordered.
        BusyError: the registry cannot be written; nothing was ordered.
    """
    results = list[Ordered | Refused]()
    with office.transaction() as now:
        for target in targets:
            found = target if isinstance(target, Refused) else _order_one(office, target, reason, station, now)
            if strict and isinstance(found, Refused):
                raise found.error
            results.append(found)
    with suppress(IotOnboardError):  # what is ordered stands in the registry, and is denied whatever this machine notes
        office.remember()
    return results


def _order_one(
    office: Office, target: Target, reason: RevocationReason, station: str, now: datetime
) -> Ordered | Refused:
    try:
        device, certificates = _meant(office, target, reason, station, now)
    except IotOnboardError as error:
        return Refused(target.device_id or target.serial, target.line, error)
    serials = list[SerialNumber]()
    for one in certificates:
        number = max(office.decisions.revocations, default=0) + 1 + len(serials)
        what = {"order": number, "station": device.station_id, "reason": reason.value}
        subject, serial = device.device_id, one.serial
        office.decide(now, decisions.REVOKE, subject=subject, serial=serial.hex, **what)
        note_revocation(office.registry, number, device.station_id, serial, subject, reason, now)
        serials.append(serial)
    office.look_again()
    before = {one.serial for one in office.decisions.open_revocations if one.station == device.station_id}
    mine = {one.serial.hex for one in device.certificates}
    is_ended = not serials and all(one.revocation is None for one in device.certificates)
    time = now if serials else _revoked_at(device)
    return Ordered(device.station, device.device_id, tuple(serials), reason, time, bool(mine & before), is_ended)


def _revoked_at(device: FleetDevice) -> datetime | None:
    return max((one.revocation.revocation_date for one in device.certificates if one.revocation), default=None)


def _meant(
    office: Office, target: Target, reason: RevocationReason, station: str, now: datetime
) -> tuple[FleetDevice, list[FleetCertificate]]:
    """The device, and those of its certificates that are to be revoked.

    Raises:
        NotFoundError: no station told of it.
        ConflictError: it is at more stations than one.
    """
    if not target.serial:
        found = list(devices_meant(office.registry, [target.device_id], station=station))
        chosen = [(one, _revocable(one, reason, now)) for one in found]
        if len(live := [one for one in chosen if one[1]]) > 1:
            names = " and ".join(repr(device.station) for device, _ in live)
            raise ConflictError(f"{target.device_id!r} is at the stations {names}", hint="say which: --station NAME")
        return live[0] if live else chosen[0]
    serial = SerialNumber.from_hex(target.serial)
    holders = [one for one in devices_with(office.registry, "serial", serial.octets) if station in ("", one.station)]
    if target.device_id:
        holders = [one for one in holders if one.device_id == target.device_id]
    if not holders:
        raise NotFoundError(
            f"no station told of a certificate {serial.hex} of a device",
            hint="take the newest journals, or revoke it at its station",
        )
    device = holders[0]
    return device, [one for one in _revocable(device, reason, now) if one.serial == serial]


def _revocable(device: FleetDevice, reason: RevocationReason, now: datetime) -> list[FleetCertificate]:
    return [
        one
        for one in device.certificates
        if one.validity.not_after >= now
        and reason.replaces(one.revocation.reason if one.revocation else None)
        and not (one.revocation and one.revocation.reason is reason)
    ]


def close_listed(office: Office, station: int, now: datetime) -> list[RevocationOrder]:
    """Close the orders of a station whose serials are on its newest list, inside the transaction that took it.

    What has expired meanwhile needs none. Returns those that were closed, still as they were.
    """
    closed = list[RevocationOrder]()
    for order in office.decisions.open_revocations:
        if order.station != station or (number := _listed_by(office, order)) is None:
            continue
        what = {"order": order.id, "station": station, "crl_number": number}
        office.decide(now, decisions.CLOSE, subject=order.device_id, serial=order.serial, **what)
        note_closed(office.registry, order.id, number, now)
        closed.append(order)
    return closed


def _listed_by(office: Office, order: RevocationOrder) -> int | None:
    """The number of the list that carries what was ordered, or of one that need not: the certificate has expired."""
    serial, reason = SerialNumber.from_hex(order.serial), RevocationReason(order.reason)
    for one in lists_about(office.registry, order.station, serial):
        entry = find_entry(one.der, serial)
        if entry is not None and not reason.replaces(serial_and_reason(entry)[1]):
            return one.number
        if one.not_after < one.this_update:
            return one.number
    return None
