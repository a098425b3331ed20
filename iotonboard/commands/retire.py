"""``retire``: the end of a device. All its certificates are revoked for good, and its id is never given again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.model import RevocationReason
from iotonboard.state.changes import revoke_certificates
from iotonboard.store.devices import device_named, set_retired
from iotonboard.store.revocations import revocable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iotonboard.model import SerialNumber
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Retired:
    """One device that is retired; ``changed`` says whether it was this call that did it."""

    device_id: str
    serials: tuple[SerialNumber, ...]
    changed: bool


def retire(state: State, device_ids: Iterable[str]) -> list[Retired]:
    """Retire devices in one transaction: all or none. A certificate that was revoked before keeps its reason.

    The caller signs and publishes.

    Raises:
        NotFoundError: there is no such device.
        BusyError: the state is locked or the disk refuses.
    """
    answers: list[Retired] = []
    with state.transaction() as now:
        for device_id in device_ids:
            if device_named(state.store, device_id).is_retired:
                answers.append(Retired(device_id, (), changed=False))
                continue
            reason = RevocationReason.CESSATION_OF_OPERATION
            serials = tuple(revocable(state.store, device_id, now, reason))
            revoke_certificates(state, serials, reason, now, subject=device_id)
            set_retired(state.store, device_id, now)
            state.record(now, device_id, detail={"retired": True})
            answers.append(Retired(device_id, serials, changed=True))
    return answers
