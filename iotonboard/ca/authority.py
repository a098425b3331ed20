"""The unlocked CA: who may sign, and the two things that are signed beside certificates - CRLs and audit heads."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from iotonboard.ca import calendar as crlplan
from iotonboard.ca import continuity
from iotonboard.ca.ca_key import MAX_KEY_FILE_OCTETS, CaKey, load_ca_key
from iotonboard.ca.vault import Vault
from iotonboard.errors import BusyError, ConflictError, KeyUnavailableError, NotFoundError
from iotonboard.files import read_file
from iotonboard.model import rfc3339
from iotonboard.pki.crl import sign_crl
from iotonboard.pki.issuer import Issuer, load_issuer
from iotonboard.pki.keys import dump_key, load_key
from iotonboard.pki.signatures import sign_statement
from iotonboard.state.changes import end_overlaps
from iotonboard.store import audit
from iotonboard.store.certificates import certificate_secret
from iotonboard.store.crls import CrlRow, add_crl, count_crl_entries, crl_entries, crl_generation, last_crl, thin_crls
from iotonboard.store.issuers import current_issuers, valid_devices

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.model import SerialNumber
    from iotonboard.state.state import State
    from iotonboard.store.issuers import IssuerRow
    from iotonboard.store.store import Store


@dataclass(frozen=True, slots=True)
class SigningCa:
    """One CA with its key: its row in the store, what it issues with, and its key."""

    row: int
    issuer: Issuer
    key: CaKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authority:
    """Every CA of the state, newest first, and the vault."""

    signing: tuple[SigningCa, ...]
    vault: Vault

    @property
    def active(self) -> SigningCa:
        """The CA that issues."""
        return self.signing[0]

    @property
    def chain(self) -> tuple[bytes, ...]:
        """Certificates from the issuing CA to its trust anchor, DER."""
        return (self.active.issuer.certificate_der,)

    @property
    def anchors(self) -> tuple[bytes, ...]:
        """What devices trust, DER: the oldest CA first, from which the brokers' certificates are."""
        return tuple(ca.issuer.certificate_der for ca in reversed(self.signing))


def unlock(state: State, passphrase: Passphrase | None, *others: Passphrase | None) -> Authority:
    """Open the CA keys and the vault.

    ``passphrase`` is ``None`` for a CA that was made with ``--no-passphrase``. A key that it does not open is
    tried with the ``others``: a change of the passphrase may have been interrupted.

    Raises:
        KeyUnavailableError: a key is missing, the passphrase is wrong, or key and certificate do not match.
    """
    rows = current_issuers(state.store)
    signing = tuple(_load_ca(state, row, (passphrase, *others)) for row in rows)
    wrapped = state.store.meta("vault")
    if not signing or wrapped is None:
        raise KeyUnavailableError("the state holds no CA", hint="restore the state from its latest backup")
    return Authority(signing, Vault(signing[0].key.unwrap(wrapped)))


def _load_ca(state: State, row: IssuerRow, passphrases: Sequence[Passphrase | None]) -> SigningCa:
    path = os.path.join(state.paths.certs, row.key_file)
    try:
        content = read_file(path, limit=MAX_KEY_FILE_OCTETS)
    except (NotFoundError, ConflictError):
        raise KeyUnavailableError(
            f"the CA key {path!r} is missing",
            hint="bring back the disk or the backup that holds it; a new CA would lock every device out",
        ) from None
    return SigningCa(row.id, *_matching(row, content, passphrases))


def _matching(row: IssuerRow, content: bytes, passphrases: Sequence[Passphrase | None]) -> tuple[Issuer, CaKey]:
    """Open a key with the first passphrase that fits, and hold it against its certificate."""
    *first, last = passphrases
    for passphrase in first:
        with contextlib.suppress(KeyUnavailableError):
            key = load_ca_key(content, passphrase)
            return load_issuer(row.der, key.signer), key
    key = load_ca_key(content, last)
    return load_issuer(row.der, key.signer), key


def key_is_encrypted(state: State) -> bool:
    """Say whether the CA key file asks for a passphrase; a missing file counts as encrypted."""
    try:
        content = read_file(
            os.path.join(state.paths.certs, current_issuers(state.store)[0].key_file), limit=MAX_KEY_FILE_OCTETS
        )
    except (NotFoundError, ConflictError, IndexError):
        return True
    return b"ENCRYPTED" in content


def open_secret(state: State, authority: Authority, serial: SerialNumber) -> tuple[bytes | None, str | None]:
    """Plain key (PKCS#8 DER) and bundle password of a certificate; both ``None`` when the workstation has no key."""
    encrypted, salt = certificate_secret(state.store, serial)
    if encrypted is None or salt is None:
        return None, None
    password = authority.vault.bundle_password(serial, salt)
    return dump_key(load_key(encrypted, password.encode("ascii"))), password


def sign_crls(
    state: State, authority: Authority, now: datetime, *, next_update_days: int | None = None
) -> list[CrlRow]:
    """Sign the CRLs of each CA as a new generation and record them, inside the caller's transaction.

    Overlaps of renewals that are over end first: their certificates are on these CRLs.
    Where a calendar is kept, all of it is signed anew: a list left as it was would un-revoke when its time
    comes. Returns the recorded rows, the issuing CA's first and of those the one in force first.

    Raises:
        ConflictError: a revocation would be lost.
        BusyError: so many CRLs were signed that thisUpdate would lie in the future, or the CAs are others by now.
    """
    refuse_changed(state, authority)
    days = next_update_days or state.config["crl_next_update_days"]
    end_overlaps(state, now)
    for ca in authority.signing:
        continuity.check_continuity(state, ca.row, ca.issuer.certificate_der)
    rows = crl_generation(state.store, with_der=False)
    calendar = crlplan.load_calendar(state.store.meta(crlplan.CALENDAR))
    signed = [row for ca in authority.signing for row in _sign_one(state, ca, now, rows, days)]
    if calendar is not None:
        state.store.set_meta(crlplan.CALENDAR, replace(calendar, round=calendar.round + 1).dump())
    for row in signed:
        add_crl(state.store, row)
        detail = {"crl_number": row.number, "revoked": row.revoked, "next_update": rfc3339(row.next_update)}
        state.record(now, "crl", detail=detail)
    state.store.set_meta("unlisted_revocations", 0)
    thin_crls(state.store, max(state.config["generations_kept"], 1))
    return signed


def _sign_one(state: State, ca: SigningCa, now: datetime, published: list[CrlRow], days: int) -> list[CrlRow]:
    issuer, last = ca.issuer, last_crl(state.store, ca.row, with_der=False)
    generation = published[0].generation + 1 if published else 1
    calendar = crlplan.load_calendar(state.store.meta(crlplan.CALENDAR))
    if calendar is not None:
        calendar = calendar.capped(state.config["crl_calendar_max_days"])
    number = last.number if last else 0
    in_force = _in_force([row for row in published if row.issuer == ca.row], now) or last
    in_force_since = in_force.this_update if in_force else None
    skew = state.config["not_before_skew_minutes"]
    first = crlplan.first_update(now, in_force_since, issuer.validity.not_before, skew_minutes=skew)
    # RFC 5280 3.3: an entry stays until it was on one CRL issued after the certificate expired.
    since = in_force_since or first
    count = count_crl_entries(state.store, ca.row, since)
    signed = []
    for period in crlplan.plan_periods(first, now, days=days, calendar=calendar):
        number += 1
        begin, end = period.this_update, period.next_update
        entries = crl_entries(state.store, ca.row, since)
        crl = sign_crl(issuer, number=number, this_update=begin, next_update=end, entries=entries)
        if crl.facts.count != count:
            raise ConflictError("the new CRL lacks revocations that the database holds", hint="run 'iotonboard health'")
        signed.append(CrlRow(generation, ca.row, number, begin, end, count, crl.der, now))
    return signed


def _in_force(published: list[CrlRow], now: datetime) -> CrlRow | None:
    """The list that brokers use now; of a calendar the newest that has begun, else the only one."""
    begun = [row for row in published if row.this_update <= now]
    return max(begun or published[:1], key=lambda row: row.this_update, default=None)


def refuse_changed(state: State, authority: Authority) -> None:
    """Refuse to sign with CA keys that were opened before a rollover, inside the caller's transaction.

    Raises:
        BusyError: a CA was added or retired since they were opened.
    """
    if [row.id for row in current_issuers(state.store)] != [ca.row for ca in authority.signing]:
        raise BusyError("another command changed the CA meanwhile", hint="run the command again")


def seal_audit(state: State, authority: Authority) -> None:
    """Sign the head of the trail, inside the caller's transaction, so that a cut-off tail is noticed."""
    newest = audit.head(state.store)
    signature = sign_statement(authority.active.issuer.signer, audit.head_statement(newest))
    audit.set_signed_head(state.store, audit.SignedHead(newest, authority.active.row, signature))


def broker_ca(store: Store, authority: Authority, now: datetime) -> SigningCa:
    """The CA for a broker's certificate: the oldest that has valid devices, since those know no other."""
    for ca in reversed(authority.signing[1:]):
        if ca.issuer.validity.contains(now) and valid_devices(store, ca.row, now):
            return ca
    return authority.active
