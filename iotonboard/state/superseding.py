"""What a new certificate takes the place of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.model import RevocationReason
from iotonboard.state.changes import revoke_certificates
from iotonboard.store.revocations import revocable

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.state.state import State


def supersede(state: State, device_id: str, now: datetime) -> bool:
    """Revoke a device's valid certificates because a new one takes their place; ``True`` when there were any."""
    old = revocable(state.store, device_id, now, RevocationReason.SUPERSEDED)
    if old:
        revoke_certificates(state, old, RevocationReason.SUPERSEDED, now, subject=device_id)
    return bool(old)
