"""``gen-crl``: sign and publish new CRLs; also how ``revoke`` puts its revocations on one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.ca.authority import seal_audit, sign_crls
from iotonboard.ca.calendar import CALENDAR, new_calendar
from iotonboard.errors import StateError, UsageError
from iotonboard.files import holds, read_file
from iotonboard.pki import pem
from iotonboard.pki.crl import check_crl

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
    state.publish()
    _check_written(state, authority, rows)
    return rows


def _check_written(state: State, authority: Authority, rows: list[CrlRow]) -> None:
    """Read the file back: every list is as it was signed, or another process has published newer ones by now."""
    signed = (piece for row in rows for piece in pem.pem_pieces("X509 CRL", row.der or b""))
    if os.path.exists(state.paths.crl) and holds(state.paths.crl, signed):
        return  # each was checked when it was signed
    written = pem.pem_decode_all("X509 CRL", read_file(state.paths.crl, limit=1 << 30))
    newest = max(row.number for row in rows if row.issuer == authority.active.row)
    if not written or check_crl(written[0], authority.active.issuer.certificate_der).number <= newest:
        raise StateError(f"{state.paths.crl!r} is not what was signed", hint="run 'iotonboard gen-crl' again")


def _keep_calendar(state: State, request: CalendarRequest, now: datetime) -> None:
    if request.count == 0:
        if request.every_days is not None:
            raise UsageError("--every goes with a calendar", hint="leave it out: --calendar 0 ends the calendar")
        state.store.set_meta(CALENDAR, "")
        state.record(now, "crl", detail={"calendar": 0})
        return
    every_days = request.every_days or DEFAULT_EVERY_DAYS
    planned = new_calendar(request.count, every_days, now, max_days=state.config["crl_calendar_max_days"])
    state.store.set_meta(CALENDAR, planned.dump())
    state.record(now, "crl", detail={"calendar": request.count, "every_days": every_days})
