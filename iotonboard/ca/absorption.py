"""Revocations from CRLs of this CA that the database does not know: of another copy of the state, or of a later day.

What such a list revokes is taken up, and the next list has a number above it. So whoever follows one of two copies, or
puts an older one in the place of a newer, never lets in what was revoked.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.ca.crl_calendar import load_calendar, save_calendar
from iotonboard.ca.rollover_status import name_of, stem_of
from iotonboard.disk.reading import read_file
from iotonboard.errors import PolicyError
from iotonboard.model import from_epoch, rfc3339, to_epoch
from iotonboard.pki.crl import any_crl_facts, check_crl, crl_facts, entries_of_any_writer, listed_entries, signer_cn
from iotonboard.pki.crl_entry import encode_entry, serial_and_reason
from iotonboard.pki.foreign_ca import read_foreign_ca, signed_by
from iotonboard.pki.given import crls_in
from iotonboard.state.chain import chain_in_force
from iotonboard.state.changes import revoke_certificates
from iotonboard.state.foreign_lists import LARGEST_NUMBER, is_known, signer_of
from iotonboard.state.region_change import forget_other_copy
from iotonboard.store.certificates import certificate_by_serial, has_certificate
from iotonboard.store.compromised import is_compromised
from iotonboard.store.crls import CrlRow, add_crl, known_crl, last_crl, note_crl
from iotonboard.store.issuers import all_issuers, current_issuers
from iotonboard.store.newest_lists import newest_generation
from iotonboard.store.revocations import foreign_entry, revocation_of, set_foreign_entry
from iotonboard.store.stations import revoke_station
from iotonboard.store.trust import every_foreign_ca

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iotonboard.model import RevocationReason, SerialNumber
    from iotonboard.pki.crl import CrlFacts
    from iotonboard.state.state import State
    from iotonboard.store.issuers import IssuerRow
    from iotonboard.store.store import Store

# Without the newest CRL nobody knows which numbers were used: the next one lies beyond any of them.
NUMBER_JUMP = 1_000_000
# A lost CRL's thisUpdate was backdated by the skew, an hour by default; the new one must be younger than any of them.
_YOUNGER_THAN_ANY = timedelta(minutes=5)
_SECOND = timedelta(seconds=1)


def continue_alone(state: State) -> None:
    """Go on as the one copy of this state, inside the transaction that took up what the others revoked.

    The number of the ACL's region jumps beyond any that another copy may have written.
    """
    forget_other_copy(state, changes=(state.store.number("acl_changes") or 0) + NUMBER_JUMP)


def read_crls(path: str) -> list[bytes]:
    """The CRLs of a file, PEM with whatever stands around the blocks or DER, as DER.

    Raises:
        NotFoundError: there is no such file.
        PolicyError: it holds something else.
    """
    content = read_file(path, limit=1 << 30)
    try:
        ders = crls_in(content)
        if not any(map(_is_readable, ders)):
            crl_facts(ders[0])
    except PolicyError as error:
        hint = error.hint or "name the newest crl.pem that a broker has"
        raise PolicyError(f"{path!r}: {error.message}", hint=hint) from error
    return ders


def _is_readable(der: bytes) -> bool:
    try:
        crl_facts(der)
    except PolicyError:
        return False
    return True


def take_up(state: State, crls: Sequence[bytes] | None, now: datetime) -> int:
    """Pass the numbers of the known CRLs and record every revocation on them; returns how many were not known.

    Of a CA whose CRL nobody has, the numbers jump instead. Inside the caller's transaction.

    Raises:
        PolicyError: a CRL is of no CA of this state, or all are of one whose key was stolen; or one is of a CA that
            follows one of this state's, and is not known here.
    """
    own = [der for der in crls or () if not _is_of_others(state, der)]
    signed = [(_signer_of(state, der), der) for der in own or crls or ()]
    found = [(issuer, der) for issuer, der in signed if not is_compromised(state.store, issuer.id)]
    if signed and not found:
        raise PolicyError(
            "the CRL is of a CA whose key was stolen: it proves nothing",
            hint="give a crl.pem with the list of the CA that issues now; --no-crl where no broker has one",
        )
    known = {issuer.id for issuer, _ in found}
    for issuer in current_issuers(state.store):
        if issuer.id not in known:
            last = last_crl(state.store, issuer.id, with_der=False)
            _pass_number(state, issuer, (last.number if last else 0) + NUMBER_JUMP, now - _YOUNGER_THAN_ANY, now)
    return sum(absorb(state, issuer, [der for of, der in found if of == issuer], now) for issuer in _each(found))


def _each(found: Sequence[tuple[IssuerRow, bytes]]) -> list[IssuerRow]:
    return list(dict.fromkeys(issuer for issuer, _ in found))


def _signer_of(state: State, der: bytes) -> IssuerRow:
    issuer = signer_of(state, der)
    if issuer is None:
        raise PolicyError(
            "the CRL was not issued by a CA of this state",
            hint="give the newest crl.pem of a broker of this CA; after a rollover, a backup that was made since",
        )
    return issuer


def _is_of_others(state: State, der: bytes) -> bool:
    """Say whether a list is of a CA of others that is, or was, trusted beside our own: it says nothing of ours.

    Below a root what is not ours may be another station's, which shares the broker; unless it has the name of a CA that
    follows ours, of a day after this state's.
    """
    if signer_of(state, der) is not None:
        return False
    if _is_of_trusted(state, der):
        return True
    stems = {stem_of(name_of(row)).casefold() for row in all_issuers(state.store)}
    return bool(_above(state)) and stem_of(signer_cn(der)).casefold() not in stems


def strangers(state: State, crls: Sequence[bytes] | None) -> tuple[str, ...]:
    """The names of CAs whose lists are passed over, and which are not known here: of other stations, it seems."""
    unknown = [der for der in crls or () if signer_of(state, der) is None and not _is_of_trusted(state, der)]
    return tuple(dict.fromkeys(signer_cn(der) for der in unknown))


def _is_of_trusted(state: State, der: bytes) -> bool:
    others = (*every_foreign_ca(state.store), *_above(state))
    return any(signed_by(der, read_foreign_ca(ca)) for ca in others)


def _above(state: State) -> list[bytes]:
    """The CAs above this state's, DER."""
    return [ca for row in all_issuers(state.store) for ca in chain_in_force(state.store, row)[1:]]


def absorb(state: State, issuer: IssuerRow, crls: Sequence[bytes], now: datetime) -> int:
    """Take up CRLs that one CA of this state signed, inside the caller's transaction.

    The revocations of those that are not known are recorded and the devices denied in the ACL, and their numbers and
    times are passed. Returns how many revocations were not known.
    """
    facts = [any_crl_facts(der) for der in crls]
    unknown = [der for der, one in zip(crls, facts, strict=True) if not is_known(state, der, one)]
    last = last_crl(state.store, issuer.id, with_der=False)
    number = last.number if last else 0
    newer = [(der, one) for der, one in zip(crls, facts, strict=True) if number < one.number < LARGEST_NUMBER]
    if any(one.this_update < now for _, one in newer) and all(_is_like_ours(der, one, issuer) for der, one in newer):
        _take_over(state, issuer, newer, now)
    elif newer:  # by a clock that is ahead, or another program: our next list cannot be held against it
        _pass_number(state, issuer, max(one.number for _, one in newer), now - _SECOND, now)
    elif any(one.number == 0 for one in facts) and unknown:  # of a program that numbers none
        begins = min(max(one.this_update for one in facts), now - _SECOND)
        _pass_number(state, issuer, number + 1, begins, now)
    _pass_calendar(state, facts, now)
    for der, one in zip(crls, facts, strict=True):
        note_crl(state.store, sha256(der).digest(), issuer.id, max(1, min(one.number, LARGEST_NUMBER)))
    return sum(_take_up_entry(state, issuer, *entry, now) for der in unknown for entry in entries_of_any_writer(der))


def _is_like_ours(der: bytes, facts: CrlFacts, issuer: IssuerRow) -> bool:
    """Say whether a list is signed as this program does, and can be cut into the entries that it writes."""
    try:
        check_crl(der, issuer.der)
        serials = [serial_and_reason(entry)[0] for entry in listed_entries(der)]
    except (PolicyError, IndexError):
        return False
    return serials == [entry[0] for entry in entries_of_any_writer(der)] and len(serials) == facts.count


def _take_over(state: State, issuer: IssuerRow, crls: Sequence[tuple[bytes, CrlFacts]], now: datetime) -> None:
    """Record lists as the last ones of their CA, so that the next list is held against them."""
    generation = newest_generation(state.store) + 1
    for der, one in sorted(crls, key=lambda found: found[1].number):
        times = one.this_update, one.next_update
        add_crl(state.store, CrlRow(generation, issuer.id, one.number, *times, one.count, der, now))


def _take_up_entry(
    state: State, issuer: IssuerRow, serial: SerialNumber, date: datetime, reason: RevocationReason, now: datetime
) -> int:
    if not reason.replaces(_known_reason(state.store, serial)):
        return 0
    if has_certificate(state.store, serial):
        _, holder = certificate_by_serial(state.store, serial)
        revoke_certificates(state, [serial], reason, now, subject=holder, dated=date)
    else:
        set_foreign_entry(state.store, issuer.id, serial, encode_entry(serial, date, reason))
        revoke_station(state.store, serial, reason, date)  # at a root, whose stations are no devices
        state.record(now, "foreign", serial=serial.hex, detail={"foreign": reason.value, "dated": rfc3339(date)})
    return 1


def _known_reason(store: Store, serial: SerialNumber) -> RevocationReason | None:
    """Why a serial is revoked as far as the database knows, be its certificate known or not."""
    if found := revocation_of(store, serial):
        return found.reason
    entry = foreign_entry(store, serial)
    return serial_and_reason(entry)[1] if entry else None


def pass_lists(
    state: State, issuer: int, lists: Sequence[tuple[bytes, CrlFacts]], now: datetime, *, number: int = 0
) -> None:
    """Let the next list of a CA, named by its row, come behind those that another program signed with its key.

    Their revocations are the caller's business. Lists that are known already change nothing. ``number`` was the last
    that the other program gave, as far as it says so.
    """
    fresh = [(der, facts) for der, facts in lists if known_crl(state.store, sha256(der).digest()) is None]
    row = next(one for one in current_issuers(state.store) if one.id == issuer)
    last = last_crl(state.store, issuer, with_der=False)
    least = last.number + 1 if last else 1
    numbers = [one for one in (number, *(facts.number for _, facts in fresh)) if one < LARGEST_NUMBER]
    if not fresh and number < least:
        return
    begins = min([now - _SECOND, max((facts.this_update for _, facts in fresh), default=from_epoch(0))])
    _pass_number(state, row, max([least, *numbers]), begins, now)
    for der, facts in fresh:
        note_crl(state.store, sha256(der).digest(), issuer, max(1, min(facts.number, LARGEST_NUMBER)))


def _pass_number(state: State, issuer: IssuerRow, number: int, this_update: datetime, now: datetime) -> None:
    """Record a number as used, so that the next CRL of this issuer lies beyond it."""
    last = last_crl(state.store, issuer.id, with_der=False)
    begins = max(this_update, min(last.this_update, now - _SECOND) if last else from_epoch(0))
    ends = max(last.next_update, now) if last else now
    generation = newest_generation(state.store) + 1
    add_crl(state.store, CrlRow(generation, issuer.id, number, begins, ends, 0, None, now))


def _pass_calendar(state: State, facts: Sequence[CrlFacts], now: datetime) -> None:
    """Begin the lists of the next calendar behind those of a calendar of another copy, which has the same times."""
    calendar = load_calendar(state.store)
    if calendar is None:
        return
    every = calendar.every_days * 86_400
    behind = [(to_epoch(one.this_update) - calendar.anchor) % every for one in facts if one.this_update > now]
    rounds = [seconds + 1 for seconds in behind if seconds < every // 2]
    save_calendar(state.store, replace(calendar, round=max([calendar.round, *rounds])))
