"""``revoke``: take an identity back. Recorded first, then on the CRL and out of the ACL in the same command.

With ``defer`` only the record is made, which needs no key; the next ``gen-crl`` publishes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.errors import BusyError, IotOnboardError, NotFoundError
from iotonboard.model import RevocationReason
from iotonboard.record import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from iotonboard.model import SerialNumber
    from iotonboard.statedir import State


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be revoked: all valid certificates of a device, or one certificate by its serial."""

    device_id: str = ""
    serial: SerialNumber | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class Revoked:
    """The answer for one target. ``serials`` is empty when everything was revoked before, or on an error."""

    device_id: str
    serials: tuple[SerialNumber, ...] = ()
    revocation_date: datetime | None = None
    error: IotOnboardError | None = None
    line: int = 0


def revoke(state: State, targets: Iterable[Target], reason: RevocationReason, *, strict: bool = False) -> list[Revoked]:
    """Record revocations in one transaction; an unknown target harms no other unless ``strict``.

    Revoking again is not an error: the first date and reason stay. The caller signs and publishes.

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
    for_good = reason is not RevocationReason.CERTIFICATE_HOLD
    if target.serial is not None:
        certificate, holder = state.store.certificate_by_serial(target.serial)
        if target.device_id and holder != target.device_id:
            raise NotFoundError(
                f"certificate {target.serial.hex} belongs to {holder!r}, not to {target.device_id!r}",
                hint="leave the id out, or correct it",
            )
        is_held = certificate.revocation and certificate.revocation.reason is RevocationReason.CERTIFICATE_HOLD
        is_done = certificate.revocation and not (is_held and for_good)
        date = certificate.revocation.revocation_date if certificate.revocation and is_done else now
        serials: tuple[SerialNumber, ...] = () if is_done else (certificate.serial,)
    else:
        holder, date = target.device_id, now
        serials = tuple(state.store.revocable(state.store.device_named(holder), now, also_held=for_good))
        if not serials:
            dates = [c.revocation.revocation_date for c in state.store.device(holder).certificates if c.revocation]
            date = max(dates, default=now)
    if serials:
        state.revoke(serials, reason, now, subject=holder)
    return Revoked(holder, serials, date, line=target.line)
