"""Changes that several commands make, each inside the caller's transaction.

Each records what it does in the trail, and notes that CRL and ACL are to be published anew where they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.model import RevocationReason
from iotonboard.pki.crl_entry import encode_entry
from iotonboard.state.acl_file import mark_acl
from iotonboard.store.revocations import (
    add_revocation,
    remove_revocation,
    revocable,
    revocation_of,
    unlisted_revocations,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from iotonboard.model import SerialNumber
    from iotonboard.state.state import State


def revoke_certificates(
    state: State, serials: Iterable[SerialNumber], reason: RevocationReason, now: datetime, *, subject: str
) -> None:
    """Revoke certificates of one device or broker; of one that is revoked already, only a hold's date changes."""
    for serial in serials:
        earlier = revocation_of(state.store, serial)
        date = now if earlier is None or earlier.is_hold else earlier.revocation_date
        add_revocation(state.store, serial, date, reason, encode_entry(serial, date, reason))
        _record(state, serial, now, subject, {"revoked": reason.value})
    mark_acl(state)


def release(state: State, serial: SerialNumber, now: datetime, *, subject: str) -> None:
    """Take a certificate off hold."""
    remove_revocation(state.store, serial)
    _record(state, serial, now, subject, {"released": True})
    mark_acl(state)


def _record(state: State, serial: SerialNumber, now: datetime, subject: str, detail: dict[str, object]) -> None:
    state.record(now, subject, serial=serial.hex, detail=detail)
    state.store.set_meta("unlisted_revocations", unlisted_revocations(state.store) + 1)


def supersede(state: State, device_id: str, now: datetime) -> bool:
    """Revoke a device's valid certificates because a new one takes their place; ``True`` when there were any."""
    old = revocable(state.store, device_id, now, RevocationReason.SUPERSEDED)
    if old:
        revoke_certificates(state, old, RevocationReason.SUPERSEDED, now, subject=device_id)
    return bool(old)
