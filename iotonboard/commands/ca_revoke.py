"""``ca revoke``: a root takes the CA of a station back.

1. Record: one transaction that needs no key, for every certificate that the station has.
2. Unlock the root, sign its list, and publish it.

The root's list alone shuts nobody out, for a broker looks at the lists of who certified the device: what has to happen
at each broker is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.ca.carry_out import publish_signed, sign_waiting
from iotonboard.ca.certifying import find_station
from iotonboard.errors import PolicyError
from iotonboard.model import RevocationReason
from iotonboard.state.changes import date_of_next_list, revoke_unknown
from iotonboard.store.crls import last_crl
from iotonboard.store.revocations import unlisted_revocations
from iotonboard.store.stations import revoke_station

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.ca.authority import Unlock
    from iotonboard.errors import Unpublished
    from iotonboard.state.state import State
    from iotonboard.store.stations import StationCertificate


@dataclass(frozen=True, slots=True)
class Result:
    """A station that was taken back: its certificates, oldest first, and the number of the list that says so.

    ``changed``: serials (hex) that were not revoked before; ``crl_number`` is 0 where no list could be signed.
    """

    name: str
    spki_sha256: bytes
    certificates: tuple[StationCertificate, ...]
    reason: RevocationReason
    revoked_at: datetime
    changed: tuple[str, ...]
    crl_number: int

    @property
    def fingerprints(self) -> list[str]:
        """SHA-256 of each certificate, lower-case hex."""
        return [sha256(one.der).hexdigest() for one in self.certificates]

    def steps(self, crl: str) -> list[str]:
        """What has to happen now, in words; ``crl`` is where the root's list lies."""
        key = self.spki_sha256.hex()[:16]
        cas = ", ".join(one[:16] for one in self.fingerprints)
        at_brokers = (
            f"at every broker that lets devices of {self.name!r} in: iotonboard apply, with a package of this root"
            " (iotonboard pack --out FILE) or of another station that has the new list; or by hand: take its CA out of"
            f" the CA file (key {key}; certificates {cas}, and the one that it signed itself), and its CRL out of the"
            " CRL file, both; then restart. A broker asks the list of who certified a device, and not the root's"
        )
        new = (
            "for that line, a new CA with another name: iotonboard init-ca --below-root; its devices need certificates"
        )
        return [at_brokers, f"carry {crl!r} to every other station: iotonboard ca install FILE", new]


def revoke_name(state: State, which: str, reason: RevocationReason, unlock: Unlock) -> tuple[Result, list[Unpublished]]:
    """Revoke all that was certified for a station, named by its CA's name or the beginning of its key's SHA-256.

    Raises:
        NotFoundError: there is no such station.
        PolicyError: a CA cannot be on hold.
        KeyUnavailableError: the root's key is missing or the passphrase does not open it, and no revocation waits.
        BusyError: the state is locked or the disk refuses; nothing was recorded.
    """
    if reason is RevocationReason.CERTIFICATE_HOLD:
        raise PolicyError("a CA cannot be on hold", hint="its devices would be: revoke them at the station instead")
    with state.transaction() as now:
        every = find_station(state, which)
        dated, changed = date_of_next_list(state), []
        for one in every:
            if reason.replaces(one.reason) and one.reason is not reason:
                revoke_unknown(state, one.serial, reason, now, subject="ca", dated=dated)
                revoke_station(state.store, one.serial, reason, now)
                changed.append(one.serial.hex)
    rows, unsigned = sign_waiting(state, unlock) if unlisted_revocations(state.store) else ([], [])
    unpublished = unsigned + publish_signed(state, rows)
    every = find_station(state, which)
    newest = every[-1]
    revoked = newest.reason or reason, newest.revoked_at or now
    last = None if unsigned else last_crl(state.store, newest.issuer, with_der=False)
    number = last.number if last else 0
    return Result(newest.name, newest.spki_sha256, tuple(every), *revoked, tuple(changed), number), unpublished
