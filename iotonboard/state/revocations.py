"""Revocations as they are asked for, of a device or of one certificate: recorded in one transaction.

That needs the database and what was named, nothing else: no key, and no file that could be missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import BusyError, IotOnboardError, NotFoundError
from iotonboard.model import Refused, RevocationReason, SerialNumber
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


def record_revocations(
    state: State, targets: Iterable[Target], reason: RevocationReason, *, strict: bool
) -> list[Revoked | Refused]:
    """Record revocations in one transaction; a target that is unknown harms no other unless ``strict``.

    Revoking again is not an error: the first date and reason stay, but a hold becomes final and keyCompromise takes
    the place of every other reason.

    Raises:
        IotOnboardError: with ``strict``, of the first target that is refused; nothing was recorded.
        BusyError: the state is locked or the disk refuses.
    """
    recorded: list[Revoked | Refused] = []
    with state.transaction() as now:
        dated = date_of_next_list(state)
        for target in targets:
            try:
                recorded.append(_record_one(state, target, reason, now, dated))
            except IotOnboardError as error:
                if strict or isinstance(error, BusyError):  # SQLite may have ended the whole transaction
                    raise
                recorded.append(Refused(target.device_id, target.line, error))
    return recorded


def _record_one(state: State, target: Target, reason: RevocationReason, now: datetime, dated: datetime) -> Revoked:
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
        revoke_certificates(state, serials, reason, now, subject=holder, dated=dated)
    stands = revocation_of(store, serials[-1]) if serials else earlier
    if stands is None:
        return Revoked(holder, serials, reason, None)
    return Revoked(holder, serials, stands.reason, stands.revocation_date)


def _newest_revocation(store: Store, device_id: str) -> RevocationRecord | None:
    found = (one.revocation for one in device_record(store, device_id).certificates if one.revocation)
    return max(found, key=lambda revocation: revocation.revocation_date, default=None)
