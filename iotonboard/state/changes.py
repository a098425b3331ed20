"""Changes that several commands make, each inside the caller's transaction.

Each records what it does in the trail, and notes that CRL and ACL are to be published anew where they are.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.model import RevocationReason, rfc3339, to_epoch
from iotonboard.pki.crl_entry import encode_entry, entry_date
from iotonboard.state.acl_file import mark_acl
from iotonboard.state.clock import DISPUTED, SETTLED
from iotonboard.store.issuers import current_issuers, has_issuer_of
from iotonboard.store.newest_lists import earliest_update, updates_in_force
from iotonboard.store.revocations import (
    add_foreign_entry,
    add_revocation,
    foreign_entry,
    note_lost_device,
    remove_revocation,
    revocation_of,
    revocations_after,
    set_revocation_date,
    unlisted_revocations,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from iotonboard.model import SerialNumber
    from iotonboard.state.state import State


_SECOND = timedelta(seconds=1)
_NEWEST_DATE = "newest_revocation_date"


def revoke_certificates(
    state: State,
    serials: Iterable[SerialNumber],
    reason: RevocationReason,
    now: datetime,
    *,
    subject: str,
    dated: datetime | None = None,
) -> None:
    """Revoke certificates of one device or broker; of one that is revoked already, only a hold's date changes.

    ``dated``: the date of the entry, where the caller knows it already: from a list that has it, or as
    ``date_of_next_list`` told it for many certificates at once.
    """
    dated = dated or date_of_next_list(state)
    newest = newest_revocation_date(state)
    state.store.set_meta(_NEWEST_DATE, to_epoch(max(dated, newest) if newest else dated))
    for serial in serials:
        if not has_issuer_of(state.store, serial):  # nobody knows on whose list it belongs
            revoke_unknown(state, serial, reason, now, subject=subject, dated=dated)
            continue
        earlier = revocation_of(state.store, serial)
        date = dated if earlier is None or earlier.is_hold else earlier.revocation_date
        add_revocation(state.store, serial, date, reason, encode_entry(serial, date, reason))
        _record(state, serial, now, subject, {"revoked": reason.value, "dated": rfc3339(date)})
    mark_acl(state)


def revoke_unknown(
    state: State,
    serial: SerialNumber,
    reason: RevocationReason,
    now: datetime,
    *,
    subject: str,
    dated: datetime,
    holder: str = "",
) -> None:
    """Revoke a serial whose certificate this state does not know, on the CRLs of every CA: nobody knows whose it is.

    A revocation of it that is there keeps its date. ``holder``: the device that has it, where that is proved; it is
    denied in the ACL.
    """
    earlier = foreign_entry(state.store, serial)
    date = entry_date(earlier) if earlier else dated
    for issuer in current_issuers(state.store):
        add_foreign_entry(state.store, issuer.id, serial, encode_entry(serial, date, reason))
    if holder:
        note_lost_device(state.store, holder, serial)
        mark_acl(state)
    _record(state, serial, now, holder or subject or "foreign", {"foreign": reason.value, "dated": rfc3339(date)})


def date_of_next_list(state: State) -> datetime:
    """The date of a revocation that is recorded now: the earliest that the next list can begin at.

    Lists are backdated, for brokers whose clock is behind. An entry that was dated later than its list would let the
    device pass at a verifier that judges entries by their date.
    """
    clock = state.read_clock()
    if clock.dispute:  # the next list begins a second after the last one (ca/crl.py)
        earliest = earliest_update(state.store)
        return clock.earliest if earliest is None else earliest + _SECOND
    begun = updates_in_force(state.store, clock.now)
    backdated = clock.now - timedelta(minutes=state.config["not_before_skew_minutes"])
    return min(max(backdated, min(begun) + _SECOND), clock.now) if begun else backdated


def newest_revocation_date(state: State) -> datetime | None:
    """The latest date of a revocation that was recorded; ``None`` before the first one."""
    return state.store.moment(_NEWEST_DATE)


def believe_clock(state: State, now: datetime) -> int | None:
    """Let the clock be the measure from now on, inside the transaction; returns the last event before."""
    was_disputed, last = state.read_clock().dispute is not None, state.store.number("last_event")
    state.store.set_meta("last_event", to_epoch(now))
    if was_disputed or state.store.meta(DISPUTED):
        state.store.set_meta(SETTLED, to_epoch(now))
    state.store.set_meta(DISPUTED, 0)
    state.record(now, "clock", detail={"last_event": last})
    date_again(state, now)
    return last


def date_again(state: State, now: datetime) -> None:
    """Date revocations anew that a clock dated which was ahead: such an entry would not count before its date."""
    date = now - timedelta(minutes=state.config["not_before_skew_minutes"])
    if (newest := newest_revocation_date(state)) and newest > now:
        state.store.set_meta(_NEWEST_DATE, to_epoch(date))
    for revocation in revocations_after(state.store, now):
        entry = encode_entry(revocation.serial, date, revocation.reason)
        set_revocation_date(state.store, revocation.serial, date, entry)
        state.record(now, "clock", serial=revocation.serial.hex, detail={"dated": rfc3339(date)})


def release(state: State, serial: SerialNumber, now: datetime, *, subject: str) -> None:
    """Take a certificate off hold."""
    remove_revocation(state.store, serial, now)
    _record(state, serial, now, subject, {"released": True})
    mark_acl(state)


def _record(state: State, serial: SerialNumber, now: datetime, subject: str, detail: dict[str, object]) -> None:
    state.record(now, subject, serial=serial.hex, detail=detail)
    state.store.set_meta("unlisted_revocations", unlisted_revocations(state.store) + 1)
