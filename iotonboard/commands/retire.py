"""``retire``: the end of devices. All their certificates are revoked for good, and their ids are never given again.

1. Record, all devices that were named or none, and each row of a list alone: a revocation waits for no key.
2. Unlock the CA, and sign CRLs of all that is recorded; not when no list lacks anything.
3. Publish them with the ACL, then everything else. Where no CRL could be signed, the ACL takes the access away alone.
4. Reload the broker, where that was asked for.

What fails behind the record ends nothing: it is told, and the next command that can does it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from iotonboard.ca.carry_out import publish_signed, sign_waiting
from iotonboard.model import Refused, RevocationReason
from iotonboard.state.added_targets import divide
from iotonboard.state.alone import each_alone, past_damage
from iotonboard.state.changes import date_of_next_list, revoke_certificates
from iotonboard.state.revocations import find_holder, revoke_recalled
from iotonboard.store.devices import find_device, set_retired
from iotonboard.store.issuers import crl_number
from iotonboard.store.revocations import revocable, set_crl_due, unlisted_revocations
from iotonboard.store.table_scan import TableScan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from iotonboard.ca.authority import Unlock
    from iotonboard.errors import Unpublished
    from iotonboard.model import SerialNumber, Target
    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.reload import Reload
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Retired:
    """One device that is retired. ``changed`` says whether this call did it.

    ``crl_number`` is that of the CRL in force that this call signed; ``None`` when it signed none. ``is_scanned``: no
    index found it, or not all of it, so one is damaged.
    """

    device_id: str
    serials: tuple[SerialNumber, ...]
    changed: bool
    crl_number: int | None = None
    is_scanned: bool = False


def retire(
    cas: Opened,
    targets: Iterable[Target | Refused],
    unlocker: Callable[[State], Unlock],
    *,
    strict: bool,
    reload: Reload | None = None,
) -> tuple[list[Retired | Refused], list[Unpublished]]:
    """Retire devices, at each CA that has them; returns what became of each, and what is not published.

    All is recorded before a CA is unlocked. A certificate that was revoked before keeps its reason.

    Raises:
        IotOnboardError: with ``strict``, of the first target that is refused; nothing was recorded.
        BusyError: the state is locked or its disk refuses; nothing was recorded.
    """
    divided = divide(cas, targets)
    recorded = [
        (part.state, past_damage(part.state.store, partial(_record_all, part.state, part.targets, strict=strict)))
        for part in divided.parts
    ]
    results, unpublished = list[Retired | Refused](), divided.unasked
    for state, done in recorded:
        told, refused = _carry_out(state, done, unlocker(state), reload if state is cas.around else None)
        results, unpublished = [*results, *told], [*unpublished, *refused]
    return results, unpublished


def _carry_out(
    state: State, results: list[Retired | Refused], unlock: Unlock, reload: Reload | None
) -> tuple[list[Retired | Refused], list[Unpublished]]:
    rows, unsigned = sign_waiting(state, unlock) if unlisted_revocations(state.store) else ([], [])
    unpublished = unsigned + publish_signed(state, rows, reload=reload)
    if rows:
        results = [
            replace(one, crl_number=crl_number(state.store, rows, one.serials)) if isinstance(one, Retired) else one
            for one in results
        ]
    return results, unpublished


def _record_all(state: State, targets: Sequence[Target | Refused], *, strict: bool) -> list[Retired | Refused]:
    with state.transaction() as now:
        record = partial(_record, state, TableScan(state.store), now)
        results = each_alone(state, targets, record, strict=strict)
        if any(isinstance(one, Retired) and one.serials for one in results):
            set_crl_due(state.store, is_due=True)
    return results


def _record(state: State, scan: TableScan, now: datetime, target: Target) -> Retired:
    device_id, is_indexed = find_holder(state.store, scan, target.device_id)
    found = find_device(state.store, device_id, by_index=is_indexed)
    if found and found.is_retired:
        return Retired(device_id, (), changed=False, is_scanned=not is_indexed)
    reason, earliest = RevocationReason.CESSATION_OF_OPERATION, state.read_clock().earliest
    serials = tuple(revocable(state.store, device_id, earliest, reason, by_index=is_indexed))
    revoke_certificates(state, serials, reason, now, subject=device_id)
    serials += revoke_recalled(state, device_id, serials, reason, now, dated=date_of_next_list(state))
    set_retired(state.store, device_id, now, by_index=is_indexed)
    state.record(now, device_id, detail={"retired": True})
    return Retired(device_id, serials, changed=True, is_scanned=not is_indexed)
