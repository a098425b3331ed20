"""Revocations as they are asked for, of a device or of one certificate: recorded in one transaction.

That needs the database and what was named, nothing else: no key, and no file that could be missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import NotFoundError, StateError
from iotonboard.model import Refused, RevocationReason, SerialNumber
from iotonboard.state.alone import as_told
from iotonboard.state.changes import date_of_next_list, revoke_certificates
from iotonboard.store.certificates import certificate_by_serial
from iotonboard.store.devices import device_named, device_record
from iotonboard.store.revocations import revocable, revocation_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from iotonboard.model import RevocationRecord, Target
    from iotonboard.state.state import State
    from iotonboard.store.store import Store


@dataclass(frozen=True, slots=True)
class Revoked:
    """What stands now for one device or certificate that was named.

    ``serials`` were revoked by this call: none when all were revoked before, or have expired (then there is no date).
    ``crl_number`` is that of the CRL in force that names them; ``None`` while none was signed.
    """

    device_id: str
    serials: tuple[SerialNumber, ...]
    reason: RevocationReason
    revocation_date: datetime | None
    crl_number: int | None = None


@dataclass(frozen=True, slots=True)
class _When:
    """When revocations are recorded, and the date of their entries on the lists."""

    now: datetime
    dated: datetime


def record_revocations(
    state: State, targets: Iterable[Target | Refused], reason: RevocationReason, *, strict: bool
) -> list[Revoked | Refused]:
    """Record revocations in one transaction and read them back; a target that is refused harms no other.

    Revoking again is not an error: the first date and reason stay, but a hold becomes final and keyCompromise takes
    the place of every other reason.

    Raises:
        IotOnboardError: with ``strict``, of the first target that is refused; nothing was recorded.
        BusyError: the state is locked or its disk refuses; nothing was recorded.
    """
    with state.transaction() as now:
        when = _When(now, date_of_next_list(state))
        recorded = [_record_or_refuse(state, target, reason, when, strict=strict) for target in targets]
    return [_read_back(state.store, *place) for place in recorded]


def _record_or_refuse(
    state: State, target: Target | Refused, reason: RevocationReason, when: _When, *, strict: bool
) -> tuple[Target | Refused, Revoked | Refused]:
    if isinstance(target, Refused):
        if strict:
            raise type(target.error)(target.message, hint=target.error.hint)
        return target, target
    try:
        with state.store.savepoint():
            return target, _record_one(state, target, reason, when)
    except Exception as problem:  # a row that nobody can read is no obstacle to the others
        error = as_told(problem, state.paths.database)
        if strict or not state.store.in_transaction:  # a full disk ends the transaction
            raise error from problem
        return target, Refused(target.device_id or target.serial, target.line, error)


def _read_back(store: Store, target: Target | Refused, told: Revoked | Refused) -> Revoked | Refused:
    """What was recorded, as the committed database has it."""
    if isinstance(told, Refused) or isinstance(target, Refused):
        return told
    for serial in told.serials:
        found = revocation_of(store, serial)
        if found is None or found.reason is not told.reason:
            what = f"the database did not keep the revocation of {serial.hex}"
            error = StateError(what, hint="'iotonboard health --deep' looks for what changes its rows")
            return Refused(told.device_id, target.line, error)
    return told


def _record_one(state: State, target: Target, reason: RevocationReason, when: _When) -> Revoked:
    store = state.store
    serials: tuple[SerialNumber, ...]
    if target.serial:
        certificate, holder = certificate_by_serial(store, SerialNumber.from_hex(target.serial))
        if target.device_id and holder != target.device_id:
            raise NotFoundError(
                f"certificate {certificate.serial.hex} belongs to {holder!r}, not to {target.device_id!r}",
                hint="leave the id out, or correct it",
            )
        earlier = certificate.revocation
        serials = (certificate.serial,) if reason.replaces(earlier.reason if earlier else None) else ()
    else:
        holder = device_named(store, target.device_id).device_id
        serials = tuple(revocable(store, holder, state.read_clock().earliest, reason))
        earlier = None if serials else _newest_revocation(store, holder)
    if serials:
        revoke_certificates(state, serials, reason, when.now, subject=holder, dated=when.dated)
    stands = revocation_of(store, serials[-1]) if serials else earlier
    if stands is None:
        return Revoked(holder, serials, reason, None)
    return Revoked(holder, serials, stands.reason, stands.revocation_date)


def _newest_revocation(store: Store, device_id: str) -> RevocationRecord | None:
    found = (one.revocation for one in device_record(store, device_id).certificates if one.revocation)
    return max(found, key=lambda revocation: revocation.revocation_date, default=None)
