"""``revoke``: take an identity back. Recorded first, then on the CRL and out of the ACL in the same command.

With ``defer`` only the record is made, which needs no key; the next ``gen-crl`` publishes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import BusyError, IotOnboardError, NotFoundError
from iotonboard.model import RevocationReason, SerialNumber
from iotonboard.state.changes import revoke_certificates
from iotonboard.store.certificates import certificate_by_serial
from iotonboard.store.devices import device_named, device_record
from iotonboard.store.revocations import revocable, revocation_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be revoked: all valid certificates of a device, or one certificate by its serial (hexadecimal)."""

    device_id: str = ""
    serial: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Revoked:
    """The answer for one target, with reason and date as they stand now.

    ``serials`` is empty when everything was revoked before, has expired (then without a date), or on an error.
    """

    device_id: str
    serials: tuple[SerialNumber, ...] = ()
    reason: RevocationReason | None = None
    revocation_date: datetime | None = None
    error: IotOnboardError | None = None
    line: int = 0


def revoke(state: State, targets: Iterable[Target], reason: RevocationReason, *, strict: bool = False) -> list[Revoked]:
    """Record revocations in one transaction; an unknown target harms no other unless ``strict``.

    Revoking again is not an error: the first date and reason stay, but a hold becomes final and keyCompromise takes
    the place of every other reason. The caller signs and publishes.

    Raises:
        BusyError: the state is locked or the disk refuses.
    """
    answers: list[Revoked] = []
    with state.transaction() as now:
        for target in targets:
            try:
                answers.append(_revoke_one(state, target, reason, now))
            except IotOnboardError as error:
                if strict or isinstance(error, BusyError):  # SQLite may have ended the whole transaction
                    raise
                answers.append(Revoked(target.device_id, error=error, line=target.line))
    return answers


def _revoke_one(state: State, target: Target, reason: RevocationReason, now: datetime) -> Revoked:
    store = state.store
    if target.serial:
        certificate, holder = certificate_by_serial(store, SerialNumber.from_hex(target.serial))
        if target.device_id and holder != target.device_id:
            raise NotFoundError(
                f"certificate {certificate.serial.hex} belongs to {holder!r}, not to {target.device_id!r}",
                hint="leave the id out, or correct it",
            )
        earlier = certificate.revocation
        is_new = reason.replaces(earlier.reason if earlier else None)
        serials: tuple[SerialNumber, ...] = (certificate.serial,) if is_new else ()
    else:
        holder = target.device_id
        holder = str(device_named(store, holder).device_id)
        serials = tuple(revocable(store, holder, state.trusted_time(), reason))
        held = device_record(store, holder).certificates if not serials else ()
        found = [each.revocation for each in held if each.revocation]
        earlier = max(found, key=lambda each: each.revocation_date, default=None)
    if serials:
        revoke_certificates(state, serials, reason, now, subject=holder)
        earlier = revocation_of(store, serials[-1])
    date = earlier.revocation_date if earlier else None
    return Revoked(holder, serials, earlier.reason if earlier else reason, date, line=target.line)
