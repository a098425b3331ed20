"""``order take``: what the office orders this station.

1. Read the file, or find the station's own among those of a folder; judge who signed it, and whether it is newer.
2. Record its revocations, which needs no key; then the orders, with what the office took of the trail.
3. Where something is to be revoked: unlock the CA, sign CRLs, and publish, as ``revoke`` does.

A call that broke off is repeated: what was recorded is not recorded again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from iotonboard.ca.carry_out import publish_signed, sign_waiting
from iotonboard.disk.found import files_below
from iotonboard.disk.reading import read_file
from iotonboard.enrolment.admission import PREFIX
from iotonboard.errors import ConflictError, IotOnboardError, NotFoundError, PolicyError
from iotonboard.exchange.orders import LARGEST, SUFFIX, read_orders, split_orders
from iotonboard.model import Refused, RevocationReason, Target, rfc3339
from iotonboard.pki.key_id import key_id
from iotonboard.state.office_orders import OFFICE, is_in_trail, refuse_unknown, standing_orders
from iotonboard.state.revocations import Revoked, record_revocations
from iotonboard.store.devices import find_device
from iotonboard.store.issuers import all_issuers, crl_number
from iotonboard.store.office_orders import TakenOrders, keep_orders, taken_orders
from iotonboard.store.revocations import unlisted_revocations

if TYPE_CHECKING:
    from iotonboard.ca.authority import Unlock
    from iotonboard.errors import Unpublished
    from iotonboard.exchange.orders import OrderedRevocation, Orders
    from iotonboard.state.reload import Reload
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Result:
    """The orders that stand now; ``is_new``: they were taken by this call.

    ``revocations``: what became of each that was ordered. ``is_older_copy``: the office took more of the trail than is
    here, or another one: this state was put back from an older copy, or goes on beside a second one.
    """

    path: str
    orders: Orders
    is_new: bool
    is_older_copy: bool
    revocations: tuple[Revoked | Refused, ...]
    unpublished: tuple[Unpublished, ...]


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    content: bytes
    orders: Orders


def take_orders(state: State, path: str, unlock: Unlock, *, reload: Reload | None = None) -> Result:
    """Take orders from a file, or from a folder the newest of those for this station; again: nothing changes.

    Raises:
        NotFoundError: there is no such file, or none for this station in the folder.
        PolicyError: no office is trusted, another one signed them, they are for another station, or are no orders.
        ConflictError: newer ones were taken before.
        BusyError: the state is locked or its disk refuses.
    """
    if not state.config[OFFICE]:
        raise PolicyError(
            "this station trusts no office", hint="compare its fingerprint: iotonboard order trust office.crt"
        )
    before = standing_orders(state)
    file = _find(state, path, before)
    orders = file.orders
    known = next((one.number for one in taken_orders(state.store) if one.registry == orders.office), 0)
    if orders.number < known:
        raise ConflictError(
            f"{file.path!r} has orders {orders.number}, and orders {known} were taken before",
            hint="nothing was taken; have the office write the newest: iotonboard order write",
        )
    done = _revoke(state, orders, before)
    is_new = orders.number > known
    if is_new:
        _keep(state, file)
    results, unpublished = _carry_out(state, done, unlock, reload)
    is_older = not is_in_trail(state, orders.acknowledged)
    return Result(file.path, orders, is_new, is_older, tuple(results), tuple(unpublished))


# -- files -------------------------------------------------------------------------------------------------------------


def _find(state: State, path: str, before: Orders | None) -> _File:
    if not os.path.isdir(path):
        return _judge(state, path, before)
    found, refused = list[_File](), list[IotOnboardError]()
    for each in sorted(files_below(path, SUFFIX)):
        try:
            found.append(_judge(state, each, before))
        except _ForAnotherError:
            continue
        except IotOnboardError as error:  # one of another office, say, beside ours
            refused.append(error)
    if found:
        return max(found, key=lambda one: one.orders.number)
    if refused:
        raise refused[0]
    raise NotFoundError(f"there are no orders for this station in {path!r}", hint="the office writes them: order write")


class _ForAnotherError(PolicyError):
    """The orders are another station's."""


def _judge(state: State, path: str, before: Orders | None) -> _File:
    content = read_file(path, limit=LARGEST)
    try:
        signed = split_orders(content)
        refuse_unknown(str(state.config[OFFICE]), signed, before.removed if before else ())
        orders = read_orders(signed)
    except PolicyError as error:
        raise PolicyError(f"{path!r}: {error.message}", hint=error.hint) from error
    keys = {key_id(row.der) for row in all_issuers(state.store)}
    if orders.station not in keys:
        raise _ForAnotherError(
            f"{path!r} has orders for the station whose CA has the key {orders.station}",
            hint=f"name the file of this one, whose key is {key_id(all_issuers(state.store)[0].der)}",
        )
    return _File(path, content, orders)


# -- what they order ---------------------------------------------------------------------------------------------------


def _revoke(state: State, orders: Orders, before: Orders | None) -> list[Revoked | Refused]:
    """Record what is to be revoked, each reason by itself. A hold that was ended here since is not begun again."""
    known = {one.id for one in before.revocations} if before else set[int]()
    hold = RevocationReason.CERTIFICATE_HOLD
    asked = [one for one in orders.revocations if not (one.reason is hold and one.id in known)]
    done = list[Revoked | Refused]()
    for reason, group in groupby(sorted(asked, key=attrgetter("reason", "id")), attrgetter("reason")):
        ordered = list(group)
        targets = [Target("", serial=one.serial.hex) for one in ordered]
        whose = {one.serial: _holder(state, one) for one in ordered}
        done += record_revocations(state, targets, reason, strict=False, whose_is=whose.get)
    return done


def _holder(state: State, one: OrderedRevocation) -> str:
    """Whom to deny by name, should the certificate be unknown here: nobody who is here with another one."""
    return "" if find_device(state.store, one.device_id) else one.device_id


def _keep(state: State, file: _File) -> None:
    orders = file.orders
    with state.transaction() as now:
        keep_orders(state.store, TakenOrders(orders.office, orders.number, now, file.content))
        if orders.prefix != (state.store.meta(PREFIX) or ""):
            state.store.set_meta(PREFIX, orders.prefix)
        detail: dict[str, object] = {
            "orders": orders.number,
            "office": orders.office,
            "acknowledged": orders.acknowledged.row,
            "prefix": orders.prefix,
            "revocations": [one.id for one in orders.revocations],
            "production": [[one.id, one.devices, one.profile, rfc3339(one.until)] for one in orders.production],
        }
        state.record(now, "office", detail={key: value for key, value in detail.items() if value not in ("", [])})


def _carry_out(
    state: State, done: list[Revoked | Refused], unlock: Unlock, reload: Reload | None
) -> tuple[list[Revoked | Refused], list[Unpublished]]:
    if not (any(isinstance(one, Revoked) and one.serials for one in done) or unlisted_revocations(state.store)):
        return done, publish_signed(state, (), reload=reload)
    rows, unsigned = sign_waiting(state, unlock)
    unpublished = unsigned + publish_signed(state, rows, reload=reload)
    if rows:
        done = [
            replace(one, crl_number=crl_number(state.store, rows, one.serials)) if isinstance(one, Revoked) else one
            for one in done
        ]
    return done, unpublished
