"""Changes that several commands make, each inside the caller's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.model import RevocationReason
from iotonboard.store.overlaps import overdue_overlaps
from iotonboard.store.revocations import remove_revocation, unlisted_revocations

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.model import SerialNumber
    from iotonboard.state.state import State


def release(state: State, serial: SerialNumber, now: datetime, *, subject: str) -> None:
    """Take a certificate off hold, inside the caller's transaction; CRL and ACL are to be published anew."""
    store = state.store
    remove_revocation(store, serial)
    state.record(now, subject, serial=serial.hex, detail={"released": True})
    store.set_meta("unlisted_revocations", unlisted_revocations(store) + 1)
    state.mark_acl()


def end_overlaps(state: State, now: datetime) -> None:
    """Revoke as superseded every certificate whose overlap is over, inside the caller's transaction."""
    for overdue in overdue_overlaps(state.store, now):
        state.revoke([overdue.serial], RevocationReason.SUPERSEDED, now, subject=overdue.device_id)
