"""``gen-crl``: sign new CRLs of all that is recorded, one or a calendar of them, and publish them.

1. Unlock the CA.
2. In one transaction: keep or end the calendar, and sign.
3. Purge what the policy ``keep_keys`` gives up: this is the command that is run by the calendar.
4. Publish CRL, CA file and ACL, then everything else, and read the CRLs back.
5. Reload the broker, where that was asked for.

What fails behind the signature ends nothing: it is told, and the next command that can does it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from iotonboard.ca.authority import seal_audit
from iotonboard.ca.carry_out import publish_signed
from iotonboard.ca.crl import sign_crls
from iotonboard.ca.crl_calendar import new_calendar, save_calendar
from iotonboard.ca.recorded import refuse_edited_overlaps
from iotonboard.errors import ConflictError, Unpublished, UsageError
from iotonboard.state.acl_file import mark_acl, tell_edits
from iotonboard.state.added_cas import paths_within
from iotonboard.state.alone import attempt, past_damage
from iotonboard.state.denied import read_denied
from iotonboard.state.erasure import apply_keep_keys, finish_erasures
from iotonboard.state.places import Place, begin_here
from iotonboard.store.kind import is_root

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from iotonboard.ca.authority import Unlock
    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.reload import Reload
    from iotonboard.state.state import State
    from iotonboard.store.crls import CrlRow

DEFAULT_EVERY_DAYS = 7


@dataclass(frozen=True, slots=True)
class CalendarRequest:
    """Keep a calendar of ``count`` lists from now on; 0 ends the one that is kept."""

    count: int
    every_days: int | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The lists of the CA that issues, the one in force first, and those of an old CA; ``path`` holds all of them."""

    path: str
    lists: tuple[CrlRow, ...]
    old_ca: tuple[CrlRow, ...]
    is_root: bool = False


def gen_crl(
    state: State,
    unlock: Unlock,
    *,
    next_update_days: int | None = None,
    calendar: CalendarRequest | None = None,
    here: bool = False,
    reload: Reload | None = None,
) -> tuple[Result, list[Unpublished]]:
    """Sign CRLs, publish them with the ACL, and read them back; returns what was signed, and what is not published.

    ``here``: CRL and CA file also where nothing of this CA is any more, as it is when a disk is away.

    Raises:
        KeyUnavailableError: the CA key is missing, or the passphrase does not open it.
        PolicyError: the clock cannot be right, or the calendar is too long.
        ConflictError: a revocation would be lost.
        BusyError: the state is locked or its disk refuses.
    """
    authority = unlock()
    if here:
        begin_here(state, Place.CRL, Place.CA, Place.BROKER_CA)

    def sign() -> tuple[list[CrlRow], ConflictError | None]:
        with state.transaction(signing=True) as now:
            refuse_edited_overlaps(state)
            if calendar is not None:
                _keep_calendar(state, calendar, now)
            signed = sign_crls(state, authority, now, next_update_days=next_update_days)
            edits = read_denied(state, now, is_to_tell=True).told
            if edits:
                mark_acl(state)
            seal_audit(state, authority)
        return signed, edits

    rows, edits = past_damage(state.store, sign)
    unpurged = attempt("purge", state.paths.database, partial(apply_keep_keys, state))
    unpublished = unpurged + publish_signed(state, rows, reload=reload)
    unpublished += tell_edits(state, edits, unpublished)
    finish_erasures(state)
    own, old = (tuple(row for row in rows if (row.issuer == rows[0].issuer) is is_own) for is_own in (True, False))
    return Result(state.paths.crl, own, old, is_root(state.store)), unpublished


def gen_crl_of_added(
    cas: Opened, unlocker: Callable[[State], Unlock], *, next_update_days: int | None
) -> tuple[dict[str, Result], list[Unpublished]]:
    """The same for the CAs that were added to a state, by their names: what is wrong with one holds nothing back.

    A calendar is each CA's own, and named with it alone.
    """
    results, unpublished = dict[str, Result](), list[Unpublished]()

    def sign(name: str) -> None:
        added = cas.state(name)
        results[name], refused = gen_crl(added, unlocker(added), next_update_days=next_update_days)
        unpublished.extend(refused)

    for name in cas.names:
        unpublished += attempt("crl", paths_within(cas.around.paths, name).crl, partial(sign, name), is_unsigned=True)
    return results, unpublished


def _keep_calendar(state: State, request: CalendarRequest, now: datetime) -> None:
    if request.count == 0:
        if request.every_days is not None:
            raise UsageError("--every goes with a calendar", hint="leave it out: --calendar 0 ends the calendar")
        save_calendar(state.store, None)
        state.record(now, "crl", detail={"calendar": 0})
        return
    every_days = request.every_days or DEFAULT_EVERY_DAYS
    planned = new_calendar(request.count, every_days, now, max_days=state.config["crl_calendar_max_days"])
    save_calendar(state.store, planned)
    state.record(now, "crl", detail={"calendar": request.count, "every_days": every_days})
