"""Revocations as they are asked for, of a device or of one certificate: recorded in one transaction.

That needs the database and what was named, nothing else: no key, and no file that could be missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from iotonboard.errors import NotFoundError, PolicyError, StateError, quoted
from iotonboard.model import DeviceId, Refused, RevocationReason, SerialNumber
from iotonboard.pki.crl_entry import entry_date, serial_and_reason
from iotonboard.state.alone import each_alone, past_damage
from iotonboard.state.changes import date_of_next_list, revoke_certificates, revoke_unknown
from iotonboard.store import compromised, table_scan
from iotonboard.store.certificates import certificate_by_serial, has_certificate
from iotonboard.store.devices import device_named
from iotonboard.store.recalled import issued_to
from iotonboard.store.revocations import (
    foreign_entry,
    newest_revocation,
    note_lost_device,
    recorded_entry,
    revocable,
    revocation_of,
    set_crl_due,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from iotonboard.model import CertificateRecord, Target
    from iotonboard.state.state import State
    from iotonboard.store.recalled import Recalled
    from iotonboard.store.store import Store
    from iotonboard.store.table_scan import TableScan


@dataclass(frozen=True, slots=True)
class Revoked:
    """What stands now for one device or certificate that was named.

    ``serials`` were revoked by this call: none when all were revoked before, or have expired (then there is no date).
    ``crl_number`` is that of the CRL in force that names them; ``None`` while none was signed. ``device_id`` is empty
    where nobody knows whose certificate it is. ``is_scanned``: no index found it, so one is damaged. ``is_recalled``:
    the audit trail led to certificates that no row of the device led to. ``ca``: name of the added CA that it is of.
    """

    device_id: str
    serials: tuple[SerialNumber, ...]
    reason: RevocationReason
    revocation_date: datetime | None
    crl_number: int | None = None
    is_scanned: bool = False
    is_recalled: bool = False
    ca: str = ""


# Who has the certificate of a serial that the database does not know: a device, as a list proves that this CA signed;
# nobody by name, where somebody says that it is of this CA; ``None`` where nothing says so.
WhoseIs: TypeAlias = Callable[[SerialNumber], str | None]


@dataclass(frozen=True, slots=True)
class _Order:
    """What one call asks for: when it is recorded, the date of its entries, and how what is unknown is found."""

    reason: RevocationReason
    now: datetime
    dated: datetime
    whose_is: WhoseIs
    scan: TableScan


def record_revocations(
    state: State,
    targets: Iterable[Target | Refused],
    reason: RevocationReason,
    *,
    strict: bool,
    whose_is: WhoseIs = lambda _: None,
    is_deferred: bool = False,
) -> list[Revoked | Refused]:
    """Record revocations in one transaction and read them back; a target that is refused harms no other.

    Revoking again is not an error: the first date and reason stay, but a hold becomes final and keyCompromise takes
    the place of every other reason. A serial that the database does not know is revoked where ``whose_is`` knows it.
    Unless it ``is_deferred``, the next command that opens the CA key and issues or revokes signs a CRL of it.

    Raises:
        IotOnboardError: with ``strict``, of the first target that is refused; nothing was recorded.
        BusyError: the state is locked or its disk refuses; nothing was recorded.
    """
    named = list(targets)

    def record() -> list[Revoked | Refused]:
        with state.transaction() as now:
            order = _Order(reason, now, date_of_next_list(state), whose_is, table_scan.TableScan(state.store))
            done = each_alone(state, named, partial(_record_one, state, order), strict=strict)
            if not is_deferred and any(isinstance(told, Revoked) and told.serials for told in done):
                set_crl_due(state.store, is_due=True)
        return done

    recorded = past_damage(state.store, record)
    return [_read_back(state.store, *place) for place in zip(named, recorded, strict=True)]


def _record_one(state: State, order: _Order, target: Target) -> Revoked:
    return _of_certificate(state, target, order) if target.serial else _of_device(state, target, order)


def _read_back(store: Store, target: Target | Refused, told: Revoked | Refused) -> Revoked | Refused:
    """What was recorded, as the committed database has it."""
    if isinstance(told, Refused) or isinstance(target, Refused):
        return told
    for serial in told.serials:
        if _reason_of(store, serial) is not told.reason:
            what = f"the database did not keep the revocation of {serial.hex}"
            error = StateError(what, hint="'iotonboard health --deep' looks for what changes its rows")
            return Refused(told.device_id, target.line, error)
    return told


def _reason_of(store: Store, serial: SerialNumber) -> RevocationReason | None:
    if found := revocation_of(store, serial):
        return found.reason
    if entry := foreign_entry(store, serial):
        return serial_and_reason(entry)[1]
    scanned = revocation_of(store, serial, by_index=False)
    return scanned.reason if scanned else None


def find_holder(store: Store, scan: TableScan, device_id: str) -> tuple[DeviceId, bool]:
    """A device, and whether the indexes find it with all of its certificates: else the tables are to be read through.

    Raises:
        NotFoundError: there is no such device.
    """
    if scan.is_found_whole(device_id):
        return DeviceId.adopted(device_id), True
    if not scan.has_device(device_id):
        device_named(store, device_id)
        raise NotFoundError(f"there is no device {quoted(device_id)}", hint="'iotonboard list' shows all devices")
    return DeviceId.adopted(device_id), False


def _of_device(state: State, target: Target, order: _Order) -> Revoked:
    """Revoke what the rows of a device say, and what the trail says was issued to it and no row says any more."""
    try:
        told = _of_rows(state, target, order)
    except NotFoundError:
        if not issued_to(state.store, target.device_id):
            raise
        told = Revoked(target.device_id, (), order.reason, None)
    lost = revoke_recalled(state, told.device_id, told.serials, order.reason, order.now, dated=order.dated)
    if not lost:
        return told
    date = told.revocation_date if told.serials else order.dated
    return replace(told, serials=(*told.serials, *lost), reason=order.reason, revocation_date=date, is_recalled=True)


def revoke_recalled(
    state: State,
    device_id: str,
    found: Collection[SerialNumber],
    reason: RevocationReason,
    now: datetime,
    *,
    dated: datetime,
) -> tuple[SerialNumber, ...]:
    """Revoke what the trail says was issued to a device, beside what its rows say (``found``); returns which.

    Somebody may have renamed the device, or changed the rows of its certificates.
    """
    lost = [one for one in issued_to(state.store, device_id) if one.serial not in found]
    lost = [one for one in lost if _is_lost(state, device_id, one, reason)]
    for one in lost:
        row = _row_of(state.store, one.serial)
        if row and row[0].validity.not_after == one.not_after:
            revoke_certificates(state, [one.serial], reason, now, subject=device_id, dated=dated)
            if row[1] != device_id:  # it is denied by the name that its certificate has
                note_lost_device(state.store, device_id, one.serial)
        else:
            revoke_unknown(state, one.serial, reason, now, subject=device_id, dated=dated, holder=device_id)
    return tuple(one.serial for one in lost)


def _is_lost(state: State, device_id: str, issued: Recalled, reason: RevocationReason) -> bool:
    """Say whether a certificate is still valid that no row of its device leads to."""
    store, serial = state.store, issued.serial
    if issued.not_after is not None and issued.not_after < state.read_clock().earliest:
        return False
    row = _row_of(store, serial)
    entry = recorded_entry(store, serial) or foreign_entry(store, serial)
    if row and entry is None:
        entry = recorded_entry(store, serial, by_index=False)
    if entry is not None:
        return reason.replaces(serial_and_reason(entry)[1])
    return issued.not_after is not None or row is None or row[1] != device_id


def _row_of(store: Store, serial: SerialNumber) -> tuple[CertificateRecord, str] | None:
    """The row of a certificate, and whom it gives as its holder; ``None``: there is none that can be read."""
    try:
        return certificate_by_serial(store, serial)
    except (NotFoundError, StateError):
        return None


def _of_rows(state: State, target: Target, order: _Order) -> Revoked:
    store, earliest = state.store, state.read_clock().earliest
    holder, is_indexed = find_holder(store, order.scan, target.device_id)
    _give_up(state, compromised.lost_certificates(store, holder, by_index=is_indexed), holder, order.now)
    serials = tuple(revocable(store, holder, earliest, order.reason, by_index=is_indexed))
    if serials:
        revoke_certificates(state, serials, order.reason, order.now, subject=holder, dated=order.dated)
    stands = newest_revocation(store, holder, by_index=is_indexed)
    if serials or stands is None:
        date = stands.revocation_date if stands else order.dated if serials else None
        return Revoked(holder, serials, order.reason, date, is_scanned=not is_indexed)
    return Revoked(holder, (), stands.reason, stands.revocation_date, is_scanned=not is_indexed)


def _of_certificate(state: State, target: Target, order: _Order) -> Revoked:
    store, serial = state.store, SerialNumber.from_hex(target.serial)
    is_indexed = has_certificate(store, serial)
    if not is_indexed and not order.scan.has_certificate(serial):
        return _of_unknown(state, target, serial, order)
    certificate, holder = certificate_by_serial(store, serial, by_index=is_indexed)
    if target.device_id and holder != target.device_id:
        raise NotFoundError(
            f"certificate {serial.hex} belongs to {holder!r}, not to {target.device_id!r}",
            hint="leave the id out, or correct it",
        )
    _give_up(state, [serial], holder, order.now)
    stands = certificate.revocation
    if stands is not None and not order.reason.replaces(stands.reason):
        return Revoked(holder, (), stands.reason, stands.revocation_date, is_scanned=not is_indexed)
    revoke_certificates(state, (serial,), order.reason, order.now, subject=holder, dated=order.dated)
    date = order.dated if stands is None or stands.is_hold else stands.revocation_date
    return Revoked(holder, (serial,), order.reason, date, is_scanned=not is_indexed)


def _give_up(state: State, serials: Sequence[SerialNumber], holder: str, now: datetime) -> None:
    """What ended with a stolen CA key alone is now revoked for its own sake: its holder gets no other one for it."""
    if serials and compromised.give_up_reenrolment(state.store, serials):
        state.record(now, holder, serial=serials[-1].hex, detail={"reenrolment": "given up"})


def _of_unknown(state: State, target: Target, serial: SerialNumber, order: _Order) -> Revoked:
    """A certificate that only an older copy of the database knew, which was lost."""
    entry = foreign_entry(state.store, serial)
    earlier = serial_and_reason(entry)[1] if entry else None
    if entry and not order.reason.replaces(earlier):
        return Revoked(target.device_id, (), serial_and_reason(entry)[1], entry_date(entry))
    holder = order.whose_is(serial)
    if not entry and holder is None:
        raise NotFoundError(
            f"there is no certificate {serial.hex}",
            hint="'iotonboard show ID' prints serials; --unknown revokes one that is of this CA and that it forgot",
        )
    if order.reason is RevocationReason.CERTIFICATE_HOLD:
        raise PolicyError(
            f"certificate {serial.hex} is unknown here, and a hold of it could not be ended",
            hint="revoke it for good, or name its file with --cert",
        )
    subject, dated = target.device_id, order.dated
    revoke_unknown(state, serial, order.reason, order.now, subject=subject, dated=dated, holder=holder or "")
    return Revoked(holder or subject, (serial,), order.reason, entry_date(entry) if entry else dated)
