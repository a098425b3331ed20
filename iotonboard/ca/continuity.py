"""CRL continuity: no new CRL may forget what the last one said.

The comparison is with the signed octets of the last CRL, not with the rows from which it was made, so rows
that were deleted or edited behind the program's back are noticed. It costs one pass over the old list.
"""

from __future__ import annotations

import contextlib
from functools import cache, partial
from typing import TYPE_CHECKING

from iotonboard.ca.recorded import check_changed_entry, released_since_list
from iotonboard.errors import ConflictError, PolicyError
from iotonboard.model import RevocationReason
from iotonboard.pki import facts
from iotonboard.pki.crl import check_crl, listed_entries, revoked_entries
from iotonboard.pki.crl_entry import serial_and_reason
from iotonboard.store.certificates import certificate_der
from iotonboard.store.crls import crl_entries, crl_entry, last_crl, last_listed_crl
from iotonboard.store.issuers import current_issuers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from iotonboard.model import SerialNumber
    from iotonboard.state.state import State
    from iotonboard.store.crls import CrlRow

_RESTORE = "'iotonboard health --deep' names what was changed; 'health --repair' or 'restore --crl' mends it"


def check_continuity(state: State, issuer: int, issuer_certificate_der: bytes) -> None:
    """Compare what the next CRL of an issuer would hold with the last one, before it is signed.

    Raises:
        ConflictError: a revoked, unexpired serial would be dropped, or be there with a weaker reason or a later date.
    """
    last = last_crl(state.store, issuer, with_der=False)
    listed = last_listed_crl(state.store, issuer)
    is_being_made = state.store.meta("initialised") is None
    if last is None or (is_being_made and listed is None):  # of a CA that is taken over, numbers alone were passed
        return
    if listed is None or listed.der is None or (listed.number != last.number and last.revoked):
        raise ConflictError(f"the database lost CRL {last.number}", hint=_RESTORE)
    _check_stored(listed, issuer_certificate_der)
    since = min(last.this_update, state.trusted_time())  # the last list of a calendar begins in the future
    for entry in lost_entries(state, issuer, listed.der, since):
        raise ConflictError(
            f"the new CRL would lack the revoked serial {serial_and_reason(entry)[0].hex}", hint=_RESTORE
        )


def lost_entries(state: State, issuer: int, crl_der: bytes, since: datetime) -> Iterator[bytes]:
    """Entries of a list that the next one of this issuer would lack, and that may not leave it.

    A hold leaves it when it was ended (RFC 5280 5.3.1). ``since``: what expired before was on a list after its expiry.
    """
    # Both are in the order of the certificates but for what came and went since: they are walked side by side.
    current = crl_entries(state.store, issuer, since)
    ahead = next(current, None)
    released = cache(partial(released_since_list, state.store))
    for entry in listed_entries(crl_der):
        if entry != ahead:
            serial, reason = serial_and_reason(entry)
            now = crl_entry(state.store, issuer, since, serial)
            # An entry whose reason was changed is on the new list in another form.
            is_listed = now is not None and serial_and_reason(now)[0] == serial
            has_ended = reason is RevocationReason.CERTIFICATE_HOLD and not is_listed and serial.hex in released()
            if not is_listed and not has_ended and not _has_expired(state, since, serial):
                yield entry
            if now != entry:
                if is_listed and now is not None:
                    check_changed_entry(state.store, entry, now)
                continue
            while ahead is not None and ahead != entry:  # what was revoked since
                ahead = next(current, None)
        ahead = next(current, None)


def listed_dates(state: State) -> dict[SerialNumber, datetime]:
    """Since when each serial is revoked by the last lists of the CAs that are not retired."""
    dates: dict[SerialNumber, datetime] = {}
    for issuer in current_issuers(state.store):
        last = last_listed_crl(state.store, issuer.id)
        with contextlib.suppress(PolicyError):
            if last and last.der and check_crl(last.der, issuer.der):
                dates |= {serial: date for serial, date, _ in revoked_entries(last.der)}
    return dates


def _check_stored(last: CrlRow, issuer_certificate_der: bytes) -> None:
    """Hold the row of the last CRL against its own signed octets."""
    try:
        found = check_crl(last.der or b"", issuer_certificate_der)
        agrees = (found.number, found.this_update) == (last.number, last.this_update)
    except PolicyError:
        agrees = False
    if not agrees:
        raise ConflictError(f"CRL {last.number} in the database is not the one that was signed", hint=_RESTORE)


def _has_expired(state: State, listed_since: datetime, serial: SerialNumber) -> bool:
    """Say whether a serial was on a CRL past its expiry, and so may leave the list (RFC 5280 3.3)."""
    der = certificate_der(state.store, serial)  # the signed octets: the row beside them may have been edited
    try:
        found = facts.certificate_facts(der or b"")
    except PolicyError:
        return False
    return found.serial == serial and found.validity.not_after < listed_since
