"""What a damaged database can still sign: lists and entries are brought back from what was signed.

For revocations alone, and only where no list can be signed otherwise. Whatever somebody wrote into the rows of lists
and entries, the signed octets of the lists say what was revoked, and each certificate's row which serial is meant.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TypeGuard

from iotonboard.ca.continuity import lost_entries
from iotonboard.ca.recorded import check_changed_entry, lost_since_list
from iotonboard.disk.reading import read_file
from iotonboard.errors import ConflictError, IotOnboardError, PolicyError
from iotonboard.model import LATEST, RevocationReason, SerialNumber, from_epoch
from iotonboard.pki import pem
from iotonboard.pki.crl import check_crl, listed_entries
from iotonboard.pki.crl_entry import encode_entry, entry_date, serial_and_reason
from iotonboard.store.crls import CrlRow, StoredCrl, add_crl, crl_entry, drop_crl, known_numbers, stored_crls
from iotonboard.store.issuers import current_issuers
from iotonboard.store.newest_lists import newest_generation
from iotonboard.store.revocations import (
    add_foreign_entry,
    add_revocation,
    certificate_row,
    drop_foreign,
    drop_revocation,
    drop_stored,
    set_entry,
    stored_foreign,
    stored_revocations,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iotonboard.ca.authority import SigningCa
    from iotonboard.pki.crl import CrlFacts
    from iotonboard.state.state import State

_SERIAL_OCTETS = 20
_LARGEST = 1 << 53  # number of a list or generation that somebody counted to


def mend_lists(state: State, cas: Sequence[SigningCa], now: datetime) -> None:
    """Mend the rows of lists and entries inside the caller's transaction, so that lists can be signed again.

    What the newest signed list of a CA has and no row any more, is kept on its lists. What was mended is told in the
    trail; ``health`` goes on to name what no list tells.
    """
    mended = _mend_crls(state, cas, now) + _mend_entries(state, now) + _mend_foreign(state, now)
    mended += _mend_unlisted(state)
    for ca in cas:
        newest = _newest_signed(state, ca)
        if newest is None:
            continue
        facts, der = newest
        mended += _drop_hollow(state, ca.row, facts.number)
        if (ca.row, facts.number) not in known_numbers(state.store):  # published, and its row is gone
            times, generation = (facts.this_update, facts.next_update), max(newest_generation(state.store), 1)
            add_crl(state.store, CrlRow(generation, ca.row, facts.number, *times, facts.count, der, now))
            mended += 1
        mended += _mend_weakened(state, ca.row, der)
        since = min(facts.this_update, state.trusted_time())
        for entry in lost_entries(state, ca.row, der, since):
            _put_back(state, ca.row, entry, since)
            mended += 1
    state.record(now, "database", detail={"mended_for_crl": mended})


def _drop_hollow(state: State, issuer: int, number: int) -> int:
    """Forget a row whose list is published, and whose octets somebody took away."""
    hollow = [
        row.id
        for row in stored_crls(state.store)
        if row.values and row.values.der is None and (row.values.issuer, row.values.number) == (issuer, number)
    ]
    for row in hollow:
        drop_crl(state.store, row)
    return len(hollow)


def _put_back(state: State, issuer: int, entry: bytes, since: datetime) -> None:
    """Record an entry of the last list again; where the row of its certificate is not what it was, without that."""
    serial, reason = serial_and_reason(entry)
    add_revocation(state.store, serial, entry_date(entry), reason, entry)
    if crl_entry(state.store, issuer, since, serial) != entry:
        add_foreign_entry(state.store, issuer, serial, entry)


def _mend_weakened(state: State, issuer: int, crl_der: bytes) -> int:
    """Bring back reason and date of what is on a list otherwise than its rows say now, and as no command made it."""
    mended = 0
    for entry in listed_entries(crl_der):
        serial, reason = serial_and_reason(entry)
        now = crl_entry(state.store, issuer, from_epoch(0), serial)
        if now is None or now == entry:
            continue
        try:
            check_changed_entry(state.store, entry, now)
        except ConflictError:
            date = entry_date(entry)
            row = certificate_row(state.store, serial)
            if row is None:
                add_foreign_entry(state.store, issuer, serial, entry)
            else:
                set_entry(state.store, row, date, reason, entry)
            mended += 1
    return mended


def _mend_unlisted(state: State) -> int:
    """Record again what the trail says was revoked since the last list, and no row says any more."""
    mended = 0
    for serial, reason, dated in lost_since_list(state.store):
        entry = encode_entry(serial, dated, reason)
        row = certificate_row(state.store, serial)
        if row is None:
            for issuer in current_issuers(state.store):
                add_foreign_entry(state.store, issuer.id, serial, entry)
        else:
            drop_revocation(state.store, serial)
            add_revocation(state.store, serial, dated, reason, entry)
        mended += 1
    return mended


def _mend_crls(state: State, cas: Sequence[SigningCa], now: datetime) -> int:
    """Let each row of the lists say what its signed octets say; one that says nothing that can be goes."""
    rows = stored_crls(state.store)
    newest = max((_number(row.generation) for row in rows), default=0)
    mended = 0
    for row in rows:
        right = _right(row, cas, newest, now)
        if right is None or right != row.values:
            drop_crl(state.store, row.id)
            mended += 1
            if right and (right.issuer, right.number) not in known_numbers(state.store):
                add_crl(state.store, right)
    return mended


def _right(row: StoredCrl, cas: Sequence[SigningCa], newest: int, now: datetime) -> CrlRow | None:
    """What a row should say; ``None`` where nothing proves it and it cannot be."""
    if isinstance(row.der, bytes):
        for ca in cas:
            try:
                facts = check_crl(row.der, ca.certificate_der)
            except PolicyError:
                continue
            generation = _number(row.generation) or max(newest, 1)
            times = facts.this_update, facts.next_update
            created = row.values.created_at if row.values else now
            return CrlRow(generation, ca.row, facts.number, *times, facts.count, row.der, created)
    is_sound = row.values is not None and row.values.der is None
    return row.values if is_sound and _number(row.generation) and _number(row.number) else None


def _number(value: object) -> int:
    """A number that can be; else 0."""
    return value if isinstance(value, int) and 0 < value < _LARGEST else 0


def _newest_signed(state: State, ca: SigningCa) -> tuple[CrlFacts, bytes] | None:
    """The list with the highest number that a CA signed, of those that are kept or published."""
    ders = [row.der for row in stored_crls(state.store) if isinstance(row.der, bytes)]
    with contextlib.suppress(IotOnboardError):
        ders += pem.pem_blocks("X509 CRL", read_file(state.paths.crl, limit=1 << 30))
    found = []
    for der in ders:
        try:
            found.append((check_crl(der, ca.certificate_der), der))
        except PolicyError:
            continue
    return max(found, key=lambda one: one[0].number, default=None)


def _is_entry(stored: object) -> TypeGuard[bytes]:
    """Say whether a value is an entry as this program encodes it."""
    try:
        octets = bytes(stored) if isinstance(stored, bytes) else b""
        serial, reason = serial_and_reason(octets)
        return encode_entry(serial, entry_date(octets), reason) == octets
    except (PolicyError, ValueError, IndexError):
        return False


def _mend_entries(state: State, now: datetime) -> int:
    """Encode anew what is no entry of its certificate; without a date or reason that can be, of now and without one."""
    mended = 0
    for row in list(stored_revocations(state.store)):
        if not isinstance(row.certificate_serial, bytes):
            if not _is_entry(row.entry_der):  # of no certificate, and no entry: nobody was revoked by it
                drop_stored(state.store, row)
                mended += 1
            continue
        serial = SerialNumber.from_octets(row.certificate_serial)
        if not (_is_entry(row.entry_der) and serial_and_reason(row.entry_der)[0] == serial):
            date, reason = _date(row.date, now), _reason(row.reason)
            set_entry(state.store, row.certificate, date, reason, encode_entry(serial, date, reason))
            mended += 1
    return mended


def _mend_foreign(state: State, now: datetime) -> int:
    """The same for entries without a certificate; one without a serial that can be says nothing."""
    mended = 0
    for issuer, stored, entry in stored_foreign(state.store):
        if _is_entry(entry):
            continue
        drop_foreign(state.store, stored)
        if isinstance(stored, bytes) and len(stored) == _SERIAL_OCTETS:
            serial = SerialNumber.from_octets(stored)
            entry_der = encode_entry(serial, now, RevocationReason.UNSPECIFIED)
            add_foreign_entry(state.store, issuer, serial, entry_der)
        mended += 1
    return mended


def _date(stored: object, now: datetime) -> datetime:
    return from_epoch(stored) if isinstance(stored, int) and 0 <= stored <= LATEST else now


def _reason(stored: object) -> RevocationReason:
    return next((one for one in RevocationReason if one.value == stored), RevocationReason.UNSPECIFIED)
