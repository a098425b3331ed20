"""``release``: end a hold. The certificates are valid again, and leave the CRL with the next one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import ConflictError
from iotonboard.state.changes import release as end_hold
from iotonboard.store.devices import device_named, refuse_retired
from iotonboard.store.revocations import held_serials

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iotonboard.model import SerialNumber
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Released:
    """The certificates of one device that are no longer on hold."""

    device_id: str
    serials: tuple[SerialNumber, ...]


def release(state: State, device_ids: Iterable[str]) -> list[Released]:
    """Take all certificates of the devices off hold, in one transaction: all devices or none.

    The caller signs and publishes.

    Raises:
        NotFoundError: there is no such device.
        ConflictError: a device has no certificate on hold, or was retired.
        BusyError: the state is locked or the disk refuses.
    """
    answers: list[Released] = []
    with state.transaction() as now:
        for device_id in device_ids:
            refuse_retired(device_named(state.store, device_id))
            serials = tuple(held_serials(state.store, device_id))
            if not serials:
                raise ConflictError(
                    f"device {device_id!r} is not on hold",
                    hint=f"only 'revoke --reason certificateHold' can be undone; see 'iotonboard show {device_id}'",
                )
            for serial in serials:
                end_hold(state, serial, now, subject=device_id)
            answers.append(Released(device_id, serials))
    return answers
