"""``release``: end a hold. The certificates are valid again, and leave the CRL.

1. Unlock the CA, unless every target is refused: without a new CRL the devices would stay out, and nobody would know
   why. What a call left that was killed is signed and published.
2. Record, all devices that were named or none, and each row of a list alone.
3. Sign CRLs, publish them with the ACL and everything else, and read them back.
4. Reload the broker, where that was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from iotonboard.ca.authority import seal_audit
from iotonboard.ca.carry_out import publish_signed, sign_waiting
from iotonboard.ca.copies import refuse_copies
from iotonboard.ca.crl import sign_recorded
from iotonboard.ca.recorded import refuse_final
from iotonboard.errors import ConflictError, NotFoundError, Unpublished
from iotonboard.ids import in_command
from iotonboard.model import Refused, Target
from iotonboard.state.added_targets import Part, divide
from iotonboard.state.alone import each_alone
from iotonboard.state.changes import release as release_certificate
from iotonboard.state.publication import EVERYTHING, publish
from iotonboard.store.devices import device_named, find_device, refuse_retired
from iotonboard.store.issuers import crl_number
from iotonboard.store.revocations import held_serials, unlisted_revocations
from iotonboard.store.table_scan import TableScan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from iotonboard.ca.authority import Authority, Unlock
    from iotonboard.model import SerialNumber
    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.reload import Reload
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Released:
    """The certificates of one device that are no longer on hold, and the CRL that they left, where one was signed."""

    device_id: str
    serials: tuple[SerialNumber, ...]
    crl_number: int | None = None


def release_all(
    cas: Opened,
    targets: Iterable[Target | Refused],
    unlocker: Callable[[State], Unlock],
    *,
    strict: bool,
    reload: Reload | None = None,
) -> tuple[list[Released | Refused], list[Unpublished]]:
    """``release`` devices at each CA that has them; where one has nothing on hold of them, another one may."""
    results, unpublished = list[Released | Refused](), list[Unpublished]()
    for part in _held_parts(divide(cas, targets).parts):
        of_brokers = reload if part.state is cas.around else None
        told, refused = release(part.state, part.targets, unlocker(part.state), strict=strict, reload=of_brokers)
        results, unpublished = [*results, *told], [*unpublished, *refused]
    return results, unpublished


def _held_parts(parts: Sequence[Part]) -> list[Part]:
    """The parts without devices that are on hold in another one alone."""
    held = [
        {one.device_id for one in part.targets if isinstance(one, Target) and _is_held(part.state, one.device_id)}
        for part in parts
    ]
    anywhere = set().union(*held)
    kept = [
        Part(
            part.state, [one for one in part.targets if isinstance(one, Refused) or one.device_id not in anywhere - of]
        )
        for part, of in zip(parts, held, strict=True)
    ]
    return [part for part in kept if part.targets]


def _is_held(state: State, device_id: str) -> bool:
    found = find_device(state.store, device_id)
    return found is not None and any(held_serials(state.store, found.device_id))


def release(
    state: State, targets: Iterable[Target | Refused], unlock: Unlock, *, strict: bool, reload: Reload | None = None
) -> tuple[list[Released | Refused], list[Unpublished]]:
    """Take all certificates of the devices off hold; returns what became of each, and what is not published.

    Raises:
        KeyUnavailableError: the CA key is missing, or the passphrase does not open it; nothing was recorded.
        IotOnboardError: with ``strict``, of the first target that is refused; nothing was recorded.
        StateError: an index is damaged, and cannot be built anew; nothing was recorded.
        ConflictError: another copy of the state is at work; nothing was recorded.
        PolicyError: the clock cannot be right; nothing was recorded.
        BusyError: the state is locked or its disk refuses; nothing was recorded.
    """
    if dispute := state.read_clock().dispute:
        raise dispute
    refuse_copies(state)
    named, scan = list(targets), TableScan(state.store)
    for target in named:
        if isinstance(target, Target):
            scan.make_found(target.device_id)
    if not unlisted_revocations(state.store):  # else a call was killed, and this one finds nothing that is on hold
        publish(state, *EVERYTHING)  # of one that was killed a step later
        refused = [one for one in map(partial(_refusal, state), named) if one]
        if refused and strict:
            raise refused[0].error
        if len(refused) == len(named):
            return list(refused), publish_signed(state, ())
    authority = unlock()
    _finish_killed_call(state, authority)
    with state.transaction(signing=True) as now:
        results = each_alone(state, named, lambda target: _record(state, target.device_id, now), strict=strict)
        seal_audit(state, authority)  # who cannot open the key ends no hold
    rows, unsigned = sign_waiting(state, lambda: authority)
    unpublished = unsigned + publish_signed(state, rows, reload=reload)
    if rows:
        results = [
            replace(one, crl_number=crl_number(state.store, rows, one.serials)) if isinstance(one, Released) else one
            for one in results
        ]
    return results, unpublished


def _finish_killed_call(state: State, authority: Authority) -> None:
    """Sign and publish what a call recorded that was killed: the one that repeats it finds nothing to release."""
    if unlisted_revocations(state.store):
        sign_recorded(state, authority)
    publish(state, *EVERYTHING)  # what is refused here is refused, and told, at the end


def _refusal(state: State, target: Target | Refused) -> Refused | None:
    if isinstance(target, Refused):
        return target
    try:
        _held(state, target.device_id)
    except (NotFoundError, ConflictError) as error:
        return Refused(target.device_id, target.line, error)
    return None


def _record(state: State, device_id: str, now: datetime) -> Released:
    serials = _held(state, device_id)
    for serial in serials:
        release_certificate(state, serial, now, subject=device_id)
    return Released(device_id, serials)


def _held(state: State, device_id: str) -> tuple[SerialNumber, ...]:
    """The certificates of a device that are on hold, and can be released.

    Raises:
        NotFoundError: there is no such device.
        ConflictError: it was retired, none of its certificates is on hold, or one was revoked for good.
    """
    refuse_retired(device_named(state.store, device_id))
    serials = tuple(held_serials(state.store, device_id))
    if not serials:
        raise ConflictError(
            f"device {device_id!r} is not on hold",
            hint=f"only 'revoke --reason certificateHold' can be undone; see 'iotonboard show {in_command(device_id)}'",
        )
    for serial in serials:
        refuse_final(state, serial)
    return serials
