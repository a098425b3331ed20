"""Revocations as they were signed and as the trail tells them, held against the rows before anything is signed on them.

Whoever can write the database can take a revocation back there, or make a hold of it. The last signed list and the
trail say what it was; of what is behind the last list only the trail does.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

from iotonboard.errors import ConflictError, PolicyError
from iotonboard.model import RevocationReason, SerialNumber, parse_moment, rfc3339
from iotonboard.pki.crl import find_entry, listed_entries
from iotonboard.pki.crl_entry import entry_date, serial_and_reason
from iotonboard.pki.facts import certificate_facts
from iotonboard.store import audit
from iotonboard.store.certificates import certificate_der
from iotonboard.store.crls import last_crl, last_listed_crl
from iotonboard.store.issuers import current_issuers
from iotonboard.store.revocations import foreign_entry, recorded_entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from iotonboard.state.state import State
    from iotonboard.store.audit import AuditRow
    from iotonboard.store.store import Store

_HOLD, _COMPROMISE = RevocationReason.CERTIFICATE_HOLD, RevocationReason.KEY_COMPROMISE
_MEND = "'iotonboard health --deep' names what was changed; 'health --repair' records it again"


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


def _told_reasons(store: Store, serial: SerialNumber) -> set[str]:
    details = (json.loads(row.detail) for row in audit.rows_of_certificate(store, serial.hex))
    return {detail[key] for detail in details for key in ("revoked", "foreign") if key in detail}


def _is_told_date(store: Store, serial: SerialNumber, entry: bytes) -> bool:
    """Say whether the trail tells of the date; earlier versions did not write it, and dated nothing later than then."""
    date = entry_date(entry)
    for row in audit.rows_of_certificate(store, serial.hex):
        detail = json.loads(row.detail)
        if detail.get("dated") == rfc3339(date):
            return True
        if "dated" not in detail and detail.keys() & {"revoked", "foreign"} and date <= row.time:
            return True
    return False


def check_recorded(store: Store) -> None:
    """Hold what the trail says was revoked since the last list against the rows that the next one is made of.

    Raises:
        ConflictError: a revocation is gone, or has a weaker reason.
    """
    for serial, reason, _ in lost_since_list(store):
        raise ConflictError(f"{serial.hex} was revoked ({reason}), and the new CRL would not say so", hint=_MEND)


def lost_since_list(store: Store) -> list[tuple[SerialNumber, RevocationReason, datetime]]:
    """What the trail says was revoked since the last list, with its date, and no row says that is as strong."""
    lost: dict[str, tuple[str, datetime]] = {}  # of what was revoked; who ended a hold did so in a later row
    for row in _behind_last_list(store):
        detail = json.loads(row.detail)
        if "released" in detail:
            lost.pop(row.serial, None)
        elif (reason := detail.get("revoked") or detail.get("foreign")) and not _stands(store, row.serial, reason):
            lost[row.serial] = reason, parse_moment(detail["dated"]) if "dated" in detail else row.time
    return [  # a damaged index stops no revocation
        (SerialNumber.from_hex(serial), RevocationReason(reason), dated)
        for serial, (reason, dated) in lost.items()
        if not _stands(store, serial, reason, by_index=False)
    ]


def _stands(store: Store, serial_hex: str, reason: str, *, by_index: bool = True) -> bool:
    serial = SerialNumber.from_hex(serial_hex)
    entry = recorded_entry(store, serial, by_index=by_index) or foreign_entry(store, serial)
    if entry is None:
        return False
    try:
        found, now = serial_and_reason(entry)
    except (PolicyError, ValueError, IndexError):
        return False
    return found == serial and (now == reason or now.replaces(RevocationReason(reason)))


def _behind_last_list(store: Store) -> Iterator[AuditRow]:
    """The trail's rows about certificates since CRLs were signed."""
    return audit.certificate_rows(store, since_seq=audit.newest_list(store))


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
    for row in audit.certificate_rows(state.store, since_seq=audit.newest_list(state.store), serial=serial.hex):
        reason = json.loads(row.detail).get("revoked", _HOLD)
        if reason != _HOLD:
            message = f"{serial.hex} was revoked as {reason} (row {row.seq} of the trail): that is never taken back"
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
    for row in _behind_last_list(store):
        if json.loads(row.detail).get("revoked") == _COMPROMISE:
            serials.add(SerialNumber.from_hex(row.serial))
    return frozenset(key for serial in serials if (key := _key_of(store, serial)))


def _key_of(store: Store, serial: SerialNumber) -> bytes | None:
    """The key of a certificate, from its signed octets; ``None`` of one that this state never had."""
    der = certificate_der(store, serial)
    if der is None and foreign_entry(store, serial):
        return None
    try:
        facts = certificate_facts(der or b"")
    except PolicyError:
        facts = None
    if facts is None or facts.serial != serial:
        raise ConflictError(f"the row of {serial.hex}, which was revoked as keyCompromise, was changed", hint=_MEND)
    return facts.spki_sha256
