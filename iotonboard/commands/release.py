"""``release``: end a hold. The certificates are valid again, and leave the CRL.

1. Unlock the CA: without a new CRL the devices would stay out, and nobody would know why.
   What a call left that was killed is signed and published.
2. Record, all devices or none.
3. Sign CRLs, publish them with the ACL and everything else, and read them back.
4. Reload the broker, where that was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.ca.crl import sign_and_publish_crls
from iotonboard.errors import ConflictError
from iotonboard.state.changes import release as release_certificate
from iotonboard.state.publication import EVERYTHING, publish, refuse_unpublished
from iotonboard.store.devices import device_named, refuse_retired
from iotonboard.store.issuers import crl_number
from iotonboard.store.revocations import held_serials, unlisted_revocations

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from iotonboard.ca.authority import Authority, Unlock
    from iotonboard.model import SerialNumber
    from iotonboard.state.reload import Reload
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Released:
    """The certificates of one device that are no longer on hold, and the CRL that they left."""

    device_id: str
    serials: tuple[SerialNumber, ...]
    crl_number: int


def release(
    state: State, device_ids: Iterable[str], unlock: Unlock, *, reload: Reload | None = None
) -> Iterator[Released]:
    """Take all certificates of the devices off hold; yields one result for each device once it is published.

    Raises:
        KeyUnavailableError: the CA key is missing, or the passphrase does not open it.
        NotFoundError: there is no such device; nothing was recorded.
        ConflictError: a device has no certificate on hold, or was retired; nothing was recorded.
        PolicyError: the clock cannot be right, or an operator's ACL line would break the broker.
        BusyError: the state is locked or the disk refuses.
    """
    if dispute := state.read_clock().dispute:
        raise dispute
    authority = unlock()
    _finish_killed_call(state, authority)
    with state.transaction(signing=True) as now:
        released = {device_id: _record(state, device_id, now) for device_id in dict.fromkeys(device_ids)}
    rows = sign_and_publish_crls(state, authority)
    for device_id, serials in released.items():
        yield Released(device_id, serials, crl_number(state.store, rows, serials))
    if reload is not None:
        reload()


def _finish_killed_call(state: State, authority: Authority) -> None:
    """Sign and publish what a call recorded that was killed: the one that repeats it finds nothing to release."""
    if unlisted_revocations(state.store):
        sign_and_publish_crls(state, authority)
    else:
        refuse_unpublished(publish(state, *EVERYTHING))


def _record(state: State, device_id: str, now: datetime) -> tuple[SerialNumber, ...]:
    refuse_retired(device_named(state.store, device_id))
    serials = tuple(held_serials(state.store, device_id))
    if not serials:
        raise ConflictError(
            f"device {device_id!r} is not on hold",
            hint=f"only 'revoke --reason certificateHold' can be undone; see 'iotonboard show {device_id}'",
        )
    for serial in serials:
        release_certificate(state, serial, now, subject=device_id)
    return serials
