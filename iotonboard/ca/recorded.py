"""Revocations as they were signed and as the trail tells them, held against the rows before anything is signed on them.

Whoever can write the database can take a revocation back there, or make a hold of it. The last signed list and the
trail say what it was; of what is behind the last list only the trail does.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from iotonboard.ca.trail_seal import seal_problem
from iotonboard.errors import ConflictError, PolicyError
from iotonboard.model import RevocationReason, SerialNumber, rfc3339
from iotonboard.pki import facts
from iotonboard.pki.crl import find_entry, listed_entries
from iotonboard.pki.crl_entry import encode_entry, entry_date, serial_and_reason
from iotonboard.pki.der import x509_time
from iotonboard.store import audit, row_subjects
from iotonboard.store.certificate_trail import told_of, told_since, told_unlike_entries
from iotonboard.store.certificates import certificate_der
from iotonboard.store.crls import last_crl, last_listed_crl
from iotonboard.store.issuers import current_issuers, own_certificates
from iotonboard.store.recalled import unlike_trail
from iotonboard.store.revocations import foreign_entry, recorded_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from iotonboard.state.state import State
    from iotonboard.store.certificate_trail import Told
    from iotonboard.store.store import Store

_HOLD, _COMPROMISE = RevocationReason.CERTIFICATE_HOLD, RevocationReason.KEY_COMPROMISE
_MEND = "'iotonboard health --deep' names what was changed; 'health --repair' puts it right"


def check_changed_entry(store: Store, listed: bytes, now: bytes) -> None:
    """Judge an entry that is on the new list in another form than on the last one.

    A hold may become anything. What is final changes to keyCompromise alone, and keeps its date, unless the trail tells
    of another: so of lists of a copy of this state that were taken up, and of dates that a wrong clock gave.

    Raises:
        ConflictError: no command made it so.
    """
    serial, reason = serial_and_reason(listed)
    new = serial_and_reason(now)[1]
    if reason is _HOLD:
        return
    is_weaker = reason is not new and not new.replaces(reason)
    if is_weaker and (_COMPROMISE is reason or new is _HOLD or new not in _told_reasons(store, serial)):
        message = f"the reason of {serial.hex} would change from {reason} to {new} on the new CRL"
        raise ConflictError(message, hint=_MEND)
    if entry_date(now) > entry_date(listed) and not _is_told_date(store, serial, now):
        message = f"{serial.hex} was revoked at {rfc3339(entry_date(listed))}, and the new CRL would say later"
        raise ConflictError(message, hint=_MEND)


def _told_reasons(store: Store, serial: SerialNumber) -> set[RevocationReason]:
    return {told.reason for told in told_of(store, serial) if told.reason}


def _is_told_date(store: Store, serial: SerialNumber, entry: bytes) -> bool:
    """Say whether the trail tells of the date; earlier versions did not write it, and dated nothing later than then."""
    date = entry_date(entry)
    return any(
        told.dated == date or (told.dated is None and told.reason and date <= told.time)
        for told in told_of(store, serial)
    )


def check_recorded(store: Store) -> None:
    """Hold what the trail says was revoked since the last list against the rows that the next one is made of.

    Raises:
        ConflictError: a revocation is gone, has a weaker reason, or a later date.
    """
    for serial, reason, _ in lost_since_list(store):
        raise ConflictError(f"{serial.hex} was revoked ({reason}), and the new CRL would not say so", hint=_MEND)


def lost_since_list(store: Store) -> list[tuple[SerialNumber, RevocationReason, datetime]]:
    """What the trail says was revoked since the last list, with its date, and no row says that is as strong."""
    # Of what was revoked; who ended a hold did so in a later row.
    said: dict[SerialNumber, list[tuple[RevocationReason, datetime]]] = {}
    is_genuine = _genuine(store)
    since = audit.newest_list(store, until=sealed_until(store))
    for told in told_unlike_entries(store, since, entry_forms()):
        if told.is_release and is_genuine(told):
            said.pop(told.serial, None)
        elif told.reason:
            said.setdefault(told.serial, []).append((told.reason, told.dated or told.time))
    lost = []
    for serial, reasons in said.items():
        latest = max(dated for _, dated in reasons)
        for reason, dated in reversed(reasons):
            stands = (_stands(store, serial, reason, latest, by_index=one) for one in (True, False))
            if not any(stands):  # a damaged index stops no revocation
                lost.append((serial, reason, dated))
                break
    return lost


def entry_forms() -> dict[str, tuple[str, str]]:
    """What an entry of each reason has before a serial number of 20 octets, and behind the date, in hex."""
    serial, date, forms = SerialNumber.from_octets(b"\x7f" * 20), datetime(2032, 1, 1, tzinfo=UTC), {}
    for reason in RevocationReason:
        head, _, rest = encode_entry(serial, date, reason).hex().upper().partition(serial.hex)
        forms[reason.value] = head, rest.removeprefix(x509_time(date).hex().upper())
    return forms


def _stands(store: Store, serial: SerialNumber, reason: RevocationReason, latest: datetime, *, by_index: bool) -> bool:
    entry = recorded_entry(store, serial, by_index=by_index) or foreign_entry(store, serial)
    if entry is None:
        return False
    try:
        (found, now), dated = serial_and_reason(entry), entry_date(entry)
    except (PolicyError, ValueError, IndexError):
        return False
    return found == serial and dated <= latest and (now is reason or now.replaces(reason))


def released_since_list(store: Store) -> frozenset[str]:
    """Serials (hex) whose hold ended behind the last list, as the trail tells in rows that only the CA's key makes."""
    is_genuine = _genuine(store)
    return frozenset(told.serial.hex for told in _behind_last_list(store) if told.is_release and is_genuine(told))


def _genuine(store: Store) -> Callable[[Told], bool]:
    """What says of a row that only the CA's key makes whether it was sealed, and by who made it."""
    sealed = sealed_until(store)
    forged = frozenset(audit.forged_rows(store, since_seq=audit.newest_list(store, until=sealed)))
    return lambda told: told.seq <= sealed and told.seq not in forged


def sealed_until(store: Store) -> int:
    """Number of the row up to which a CA of this state sealed the trail; 0 where the seal is not to be believed."""
    signed = audit.signed_head(store)
    problem = seal_problem(signed, own_certificates(store))
    return signed.head.seq if signed and not problem else 0


def _behind_last_list(store: Store) -> Iterator[Told]:
    """What the trail tells of certificates since CRLs were signed."""
    return told_since(store, audit.newest_list(store, until=sealed_until(store)))


def refuse_edited_overlaps(state: State) -> None:
    """Refuse to sign lists on overlaps that are not as the trail says: a certificate would stay valid for longer.

    Not before a revocation is signed: no seal stands in its way.

    Raises:
        ConflictError: somebody changed one.
    """
    for key in unlike_trail(state.store, "overlap"):
        holder = row_subjects.subject_of(state.store, "overlap", key, None)
        raise ConflictError(f"somebody changed until when the old certificate of {holder!r} is valid", hint=_MEND)


def refuse_final(state: State, serial: SerialNumber) -> None:
    """Refuse to release what was revoked for good, whatever its row says now.

    Raises:
        ConflictError: the last signed list, or the trail behind it, has another reason than a hold.
    """
    for issuer in current_issuers(state.store):
        listed = last_listed_crl(state.store, issuer.id)
        entry = find_entry(listed.der, serial) if listed and listed.der else None
        if entry and (reason := serial_and_reason(entry)[1]) is not _HOLD:
            message = f"{serial.hex} is on the last CRL as {reason}: that is never taken back"
            raise ConflictError(message, hint=_MEND)
    for told in (told for told in _behind_last_list(state.store) if told.serial == serial):
        if told.reason not in (None, _HOLD):
            where = f"row {told.seq} of the trail"
            message = f"{serial.hex} was revoked as {told.reason} ({where}): that is never taken back"
            raise ConflictError(message, hint=_MEND)


def refuse_compromised_key(state: State, spki_sha256: bytes) -> None:
    """Refuse a public key whose certificate a signed list, or the trail behind it, has as keyCompromise.

    Raises:
        PolicyError: it is barred.
        ConflictError: the row of such a certificate is not what it was, so that its key is not known.
    """
    for issuer in current_issuers(state.store):
        last = last_crl(state.store, issuer.id, with_der=False)
        if last and spki_sha256 in _compromised(state.store, issuer.id, last.number):
            raise PolicyError("this public key was revoked as keyCompromise", hint="make a new key on the device")


@lru_cache(maxsize=4)  # a batch asks for each request
def _compromised(store: Store, issuer: int, _number: int) -> frozenset[bytes]:
    """SHA-256 of the public keys that are barred, by the list of this number and what was recorded behind it."""
    listed = last_listed_crl(store, issuer)
    serials = set()
    if listed and listed.der:
        found = map(serial_and_reason, listed_entries(listed.der))
        serials = {serial for serial, reason in found if reason is _COMPROMISE}
    serials |= {told.serial for told in _behind_last_list(store) if told.reason is _COMPROMISE}
    return frozenset(key for serial in serials if (key := _key_of(store, serial)))


def _key_of(store: Store, serial: SerialNumber) -> bytes | None:
    """The key of a certificate, from its signed octets; ``None`` of one that this state never had."""
    der = certificate_der(store, serial)
    if der is None and foreign_entry(store, serial):
        return None
    try:
        said = facts.certificate_facts(der or b"")
    except PolicyError:
        said = None
    if said is None or said.serial != serial:
        raise ConflictError(f"the row of {serial.hex}, which was revoked as keyCompromise, was changed", hint=_MEND)
    return said.spki_sha256
