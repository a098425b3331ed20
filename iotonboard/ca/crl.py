"""The CRLs of a state: every CA's are signed together, as one generation, and read back once they are published."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from iotonboard.ca import mending
from iotonboard.ca.authority import refuse_changed, seal_audit
from iotonboard.ca.continuity import check_continuity
from iotonboard.ca.copies import absorb_published
from iotonboard.ca.crl_calendar import (
    Period,
    continue_periods,
    first_update,
    load_calendar,
    plan_periods,
    save_calendar,
)
from iotonboard.ca.recorded import check_recorded
from iotonboard.disk.reading import holds, read_file
from iotonboard.errors import BusyError, ConflictError, DamageError, KeyUnavailableError, PolicyError, StateError
from iotonboard.model import RevocationReason, rfc3339
from iotonboard.pki import pem
from iotonboard.pki.crl import CrlFacts, check_crl, listed_entries, sign_crl
from iotonboard.pki.crl_entry import serial_and_reason
from iotonboard.state.alone import past_damage
from iotonboard.state.changes import date_of_next_list, newest_revocation_date, revoke_certificates
from iotonboard.state.trust import foreign_crls
from iotonboard.store.crls import (
    CrlRow,
    add_crl,
    count_crl_entries,
    crl_entries,
    last_crl,
    last_listed_crl,
    newest_of_issuer,
    orphaned_number,
    thin_crls,
)
from iotonboard.store.issuers import current_issuers
from iotonboard.store.newest_lists import newest_generation, note_generation
from iotonboard.store.overlaps import overdue_overlaps
from iotonboard.store.revocations import note_listed, set_crl_due

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from iotonboard.ca.authority import Authority, SigningCa
    from iotonboard.pki.crl import SignedCrl
    from iotonboard.state.clock import ClockReading
    from iotonboard.state.state import State


def sign_crls(
    state: State, authority: Authority, now: datetime, *, next_update_days: int | None = None
) -> list[CrlRow]:
    """Sign the CRLs of each CA as a new generation and record them, inside the caller's transaction.

    Overlaps of renewals that are over end first: their certificates are on these CRLs. So is what another copy of the
    state published.
    Where a calendar is kept, all of it is signed anew: a list left as it was would un-revoke when its time
    comes. Returns the recorded rows, the issuing CA's first and of those the one in force first.
    By a clock that is disputed, in a transaction that it did not stop, the lists continue the last ones.

    Raises:
        ConflictError: a revocation would be lost.
        BusyError: so many CRLs were signed that thisUpdate would lie in the future, or the CAs are others by now.
    """
    refuse_changed(state, authority)
    clock = state.read_clock()
    _end_overlaps(state, now, clock.trusted)
    absorb_published(state, now)
    check_recorded(state.store)
    for ca in authority.signing:
        check_continuity(state, ca.row, ca.certificate_der)
    # Never one that was published before, also where somebody deleted its row: it would count as written.
    generation = 1 + max(newest_generation(state.store), state.store.number("crl_published") or 0)
    days = next_update_days or state.config["crl_next_update_days"]
    signed = [row for ca in authority.signing for row in _sign_of_one_ca(state, ca, generation, clock, days)]
    if calendar := load_calendar(state.store):
        save_calendar(state.store, replace(calendar, round=calendar.round + 1))
    for row in signed:
        add_crl(state.store, row)
        detail = {"crl_number": row.number, "revoked": row.revoked, "next_update": rfc3339(row.next_update)}
        state.record(now, "crl", detail=detail)
        note_listed(state.store, row.issuer, row.number)  # of a calendar the first, which all others have
    ends = [max(row.next_update for row in signed if row.issuer == ca.row) for ca in authority.signing]
    note_generation(state.store, generation, min(ends))
    state.store.set_meta("unlisted_revocations", 0)
    set_crl_due(state.store, is_due=False)
    thin_crls(state.store, max(state.config["generations_kept"], 1))
    return signed


def _end_overlaps(state: State, now: datetime, trusted: datetime) -> None:
    """Revoke as superseded every certificate whose overlap is over."""
    overlaps = overdue_overlaps(state.store, trusted)
    dated = date_of_next_list(state) if overlaps else None
    for overdue in overlaps:
        reason, subject = RevocationReason.SUPERSEDED, overdue.device_id
        revoke_certificates(state, [overdue.serial], reason, now, subject=subject, dated=dated)


def _sign_of_one_ca(state: State, ca: SigningCa, generation: int, clock: ClockReading, days: int) -> list[CrlRow]:
    now, last = clock.now, last_crl(state.store, ca.row, with_der=False)
    before = newest_of_issuer(state.store, ca.row)
    in_force = _in_force(before, now)
    if clock.dispute:
        if not before:  # of no list that could be continued
            raise clock.dispute
        periods = continue_periods([Period(row.this_update, row.next_update) for row in before])
    else:
        periods = _plan(state, ca, in_force, now, days)
    # RFC 5280 3.3: an entry stays until it was on one CRL issued after the certificate expired. The list in force may
    # be of a clock that was ahead.
    listed_since = min(in_force.this_update if in_force else periods[0].this_update, clock.earliest)
    return [
        _sign(state, ca, generation, number, period, listed_since, now)
        for number, period in enumerate(periods, start=1 + (last.number if last else orphaned_number(state.store)))
    ]


def _plan(state: State, ca: SigningCa, in_force: CrlRow | None, now: datetime, days: int) -> list[Period]:
    calendar = load_calendar(state.store)
    if calendar is not None:
        calendar = calendar.capped(state.config["crl_calendar_max_days"])
    first = first_update(
        now,
        in_force.this_update if in_force else None,
        ca.issuer.validity.not_before,
        skew_minutes=state.config["not_before_skew_minutes"],
        dated=newest_revocation_date(state),
    )
    return plan_periods(first, now, days=days, calendar=calendar)


def _sign(
    state: State, ca: SigningCa, generation: int, number: int, period: Period, listed_since: datetime, now: datetime
) -> CrlRow:
    begin, end = period.this_update, period.next_update
    entries = crl_entries(state.store, ca.row, listed_since)
    crl = sign_crl(ca.issuer, number=number, this_update=begin, next_update=end, entries=entries)
    count = count_crl_entries(state.store, ca.row, listed_since)
    if crl.facts != CrlFacts(number, begin, end, ca.issuer.subject_der, count):
        raise ConflictError("the new CRL is not what the database holds", hint="run 'iotonboard health --deep'")
    fetched = _to_be_fetched(state, ca, crl, entries=crl_entries(state.store, ca.row, listed_since))
    return CrlRow(generation, ca.row, number, begin, end, count, crl.der, now, fetched)


def _to_be_fetched(state: State, ca: SigningCa, crl: SignedCrl, *, entries: Iterator[bytes]) -> bytes | None:
    """The same list for who fetches it, where the settings say from where; ``None``: nowhere."""
    url, facts = state.config["crl_url"], crl.facts
    if not url:
        return None
    times = {"this_update": facts.this_update, "next_update": facts.next_update}
    twin = sign_crl(ca.issuer, number=facts.number, **times, entries=entries, crl_url=url)
    if twin.facts != facts:
        raise ConflictError("the CRL to be fetched is not the same list", hint="run 'iotonboard health --deep'")
    return twin.der


def sign_last_crl(state: State, ca: SigningCa, until: datetime, now: datetime) -> CrlRow:
    """Sign and record the last CRL of a CA that goes, inside the caller's transaction.

    It has every entry that has not expired, and those of the list before which the database lost: unlike
    ``sign_crls`` it refuses nothing for their sake. ``until`` is its nextUpdate.

    Raises:
        LintError: ``until`` is over.
    """
    store, in_force = state.store, _in_force(newest_of_issuer(state.store, ca.row), now)
    begin = first_update(
        now,
        in_force.this_update if in_force and in_force.this_update < now else None,  # else of a thief, perhaps
        ca.issuer.validity.not_before,
        skew_minutes=state.config["not_before_skew_minutes"],
        dated=newest_revocation_date(state),
    )
    entries = list(crl_entries(store, ca.row, min(in_force.this_update if in_force else begin, now)))
    serials = {serial_and_reason(entry)[0] for entry in entries}
    entries += [entry for entry in _entries_before(state, ca) if serial_and_reason(entry)[0] not in serials]
    last = last_crl(store, ca.row, with_der=False)
    number = last.number + 1 if last else 1
    crl = sign_crl(ca.issuer, number=number, this_update=begin, next_update=until, entries=entries)
    generation = 1 + max(newest_generation(store), store.meta("crl_published") or 0)
    row = CrlRow(generation, ca.row, number, begin, until, len(entries), crl.der, now)
    add_crl(store, row)
    note_listed(store, ca.row, number)
    detail = {"crl_number": number, "revoked": row.revoked, "next_update": rfc3339(until), "last": True}
    state.record(now, "crl", detail=detail)
    return row


def _entries_before(state: State, ca: SigningCa) -> list[bytes]:
    """What the CRL of a CA has that was signed last; nothing of one that somebody changed."""
    listed = last_listed_crl(state.store, ca.row)
    try:
        check_crl(listed.der or b"" if listed else b"", ca.certificate_der)
    except PolicyError:
        return []
    return list(listed_entries(listed.der or b"")) if listed else []


def _in_force(published: Sequence[CrlRow], now: datetime) -> CrlRow | None:
    """The list that brokers use now; of a calendar the newest that has begun, else the only one."""
    begun = [row for row in published if row.this_update <= now]
    return max(begun or published[:1], key=lambda row: row.this_update, default=None)


def sign_recorded(
    state: State, authority: Authority, *, next_update_days: int | None = None, is_urgent: bool = False
) -> list[CrlRow]:
    """Sign CRLs of all that is recorded, in a transaction of their own; see ``sign_crls``.

    For commands that revoke: a disputed clock does not stop them, nor, with ``is_urgent``, a damaged row
    (``ca/mending.py``).

    Raises:
        ConflictError: a revocation would be lost.
        BusyError: the state is locked or the disk refuses, or the CAs are others by now.
    """

    def sign() -> list[CrlRow]:
        with state.transaction() as now:
            try:
                with state.store.savepoint():
                    rows = sign_crls(state, authority, now, next_update_days=next_update_days)
            except (BusyError, KeyUnavailableError, DamageError):
                raise
            except Exception:  # whatever a damaged row made of it
                if not is_urgent:
                    raise
                mending.mend_lists(state, authority.signing, now)
                rows = sign_crls(state, authority, now, next_update_days=next_update_days)
            seal_audit(state, authority)
        return rows

    return past_damage(state.store, sign)


def check_published(state: State, rows: Sequence[CrlRow]) -> None:
    """Read the file back: every list is as it was signed, or another process has published newer ones by now.

    Raises:
        StateError: it is neither.
        PolicyError: it holds something else than CRLs, or one that this CA did not sign.
    """
    ders = chain((row.der or b"" for row in rows), foreign_crls(state))
    signed = (piece for der in ders for piece in pem.pem_pieces("X509 CRL", der))
    if os.path.exists(state.paths.crl) and holds(state.paths.crl, signed):
        return  # each was checked when it was signed
    written = pem.pem_decode_all("X509 CRL", read_file(state.paths.crl, limit=1 << 30))
    newest = max(row.number for row in rows if row.issuer == rows[0].issuer)
    if check_crl(written[0], current_issuers(state.store)[0].der).number <= newest:
        raise StateError(f"{state.paths.crl!r} is not what was signed", hint="run 'iotonboard gen-crl' again")
