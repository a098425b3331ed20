"""``gen-crl``: sign and publish new CRLs; also how ``revoke`` puts its revocations on one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.ca.authority import seal_audit
from iotonboard.ca.calendar import new_calendar, save_calendar
from iotonboard.ca.crl import check_published, sign_crls
from iotonboard.errors import UsageError
from iotonboard.state.publication import EVERYTHING, publish, refuse_unpublished

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.ca.authority import Authority
    from iotonboard.state.state import State
    from iotonboard.store.crls import CrlRow

DEFAULT_EVERY_DAYS = 7


@dataclass(frozen=True, slots=True)
class CalendarRequest:
    """Keep a calendar of ``count`` lists from now on; 0 ends the one that is kept."""

    count: int
    every_days: int | None = None


def gen_crl(
    state: State,
    authority: Authority,
    *,
    next_update_days: int | None = None,
    calendar: CalendarRequest | None = None,
) -> list[CrlRow]:
    """Sign CRLs from the committed revocations, publish them with the ACL, and read back what was written.

    Returns every list that was signed, the issuing CA's first, the one in force before the later ones.

    Raises:
        PolicyError: the clock cannot be right, the calendar is too long, or an operator's ACL line would
            break the broker.
        StateError: the file on disk is not what was signed.
    """
    with state.transaction(signing=True) as now:
        if calendar is not None:
            _keep_calendar(state, calendar, now)
        rows = sign_crls(state, authority, now, next_update_days=next_update_days)
        seal_audit(state, authority)
    refuse_unpublished(publish(state, *EVERYTHING))
    check_published(state, authority, rows)
    return rows


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
