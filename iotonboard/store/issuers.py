"""One CA after another: which devices and brokers still use the old one, and what is signed with which.

During a rollover the newest CA issues to devices, every CA signs its own CRL, and brokers get their certificates
from the oldest CA that has valid devices: those know no other.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from hashlib import sha256
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from iotonboard.errors import IotOnboardError, PolicyError, StateError
from iotonboard.model import EARLIEST, LATEST, Validity, from_epoch, to_epoch
from iotonboard.store.certificates import has_certificate
from iotonboard.store.succession import cas_in_force
from iotonboard.store.values import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from iotonboard.model import SerialNumber
    from iotonboard.store.crls import CrlRow
    from iotonboard.store.store import Store

# Brokers whose newest certificate is of a CA: an older one of the same broker is not in use any more.
_BROKERS = """SELECT host FROM unended_certificate WHERE issuer = :issuer AND not_after >= :now
    AND id IN (SELECT max(id) FROM certificate WHERE host IS NOT NULL GROUP BY host) ORDER BY host"""
# Devices that nobody renewed since a newer CA issues.
_BEHIND = """SELECT d.device_id FROM device d WHERE d.device_id > :after
    AND EXISTS (SELECT 1 FROM unended_certificate c WHERE c.device = d.id AND c.not_after >= :now)
    AND (SELECT c.issuer FROM certificate c WHERE c.device = d.id ORDER BY c.id DESC LIMIT 1) <> :newest
    ORDER BY d.device_id LIMIT :size"""
_NAMED = "(SELECT issuer FROM certificate UNION SELECT issuer FROM crl)"  # numbers of CAs in other rows
_WITHOUT_CA = f"""SELECT issuer FROM {_NAMED}
    WHERE typeof(issuer) = 'integer' AND issuer > 0 AND issuer NOT IN (SELECT id FROM issuer)"""
_PAGE = 500
_COLUMNS = "id, der, not_before, not_after, key_file, created_at, retired_at"
_ISSUERS = f"""SELECT {_COLUMNS}, certificates, installed_at, signature FROM issuer LEFT JOIN ca_chain ON issuer = id
    ORDER BY id DESC"""
_WITHOUT_CHAINS = f"SELECT {_COLUMNS}, NULL, NULL, NULL FROM issuer ORDER BY id DESC"
KEYS_TO_ERASE = "retired_keys"  # noted until the key files of retired CAs are gone


@dataclass(frozen=True, slots=True)
class IssuerRow:
    """A CA certificate of this state and the file name of its key below the CA folder.

    ``der`` and ``key_file`` are empty in a row that somebody damaged, and then found by what is published.
    """

    id: int
    der: bytes
    validity: Validity
    key_file: str
    created_at: datetime

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the DER certificate, lower-case hex."""
        return sha256(self.der).hexdigest()


def add_issuer(store: Store, serial: SerialNumber, validity: Validity, der: bytes, key_file: str, now: datetime) -> int:
    """Record a CA certificate and return its row number."""
    times = to_epoch(validity.not_before), to_epoch(validity.not_after)
    cursor = store.execute(
        "INSERT INTO issuer (serial, not_before, not_after, der, key_file, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        (serial.octets, *times, der, key_file, to_epoch(now)),
    )
    forget_rows(store)
    return int(cursor.lastrowid or 0)


def _rows(store: Store) -> list[list[Any]]:
    return [row[:-3] for row in rows_with_chains(store)]


def rows_with_chains(store: Store) -> list[Any]:
    """What each row says, newest first, its chain last: three values, of which none holds anything back."""
    try:
        return store.small(_ISSUERS)
    except StateError:
        return store.small(_WITHOUT_CHAINS)


def forget_rows(store: Store) -> None:
    """Ask anew from now on: the open transaction changes a CA or its chain."""
    store.forget_small(_ISSUERS)
    store.forget_small(_WITHOUT_CHAINS)


def current_issuers(store: Store) -> list[IssuerRow]:
    """All CAs that are not retired, newest first: the first one issues.

    Rows that somebody added are none. Where the row of a CA is gone or damaged, any row that the trail does not know
    may be it.
    """
    in_force, ended = cas_in_force(store, [row.der for row in all_issuers(store)])
    own, is_whole = _own(store, in_force)
    if in_force and is_whole:
        return own
    rows = ((_issuer(store, row), _is_retired(store, row[-1], retired)) for *row, retired in _rows(store))
    return [row for row, retired in rows if row.fingerprint not in ended and not retired]


def _own(store: Store, in_force: frozenset[str]) -> tuple[list[IssuerRow], bool]:
    """The rows of the CAs in force, newest first, and whether each has one.

    The newest is never retired without another one; where the trail does not tell that an older one is, its row may.
    """
    rows: dict[str, tuple[IssuerRow, bool]] = {}
    for *row, retired in reversed(_rows(store)):
        issuer = _issuer(store, row)
        if issuer.fingerprint in in_force:
            rows.setdefault(issuer.fingerprint, (issuer, _is_retired(store, row[-1], retired)))
    newest = max((row.id for row, _ in rows.values()), default=0)
    own = [row for row, retired in rows.values() if row.id == newest or not retired]
    return sorted(own, key=attrgetter("id"), reverse=True), rows.keys() == in_force


def own_certificates(store: Store) -> dict[int, bytes]:
    """Certificates (DER) of the CAs whose signature counts, by their rows: none of a row that somebody changed."""
    current = current_issuers(store)
    in_force, _ = cas_in_force(store, [row.der for row in all_issuers(store)])
    return {row.id: row.der for row in current if not in_force or row.fingerprint in in_force}


def are_believed(store: Store, issuers: Sequence[IssuerRow]) -> bool:
    """Say whether these are the CAs that the trail tells of, each with its certificate."""
    in_force, _ = cas_in_force(store, [row.der for row in all_issuers(store)])
    return bool(in_force) and _own(store, in_force) == (issuers, True)


def all_issuers(store: Store) -> list[IssuerRow]:
    """All CAs that this state ever had, newest first."""
    return [_issuer(store, row) for *row, _ in _rows(store)]


def _is_retired(store: Store, created_at: Any, retired_at: Any) -> bool:
    """One is retired by an event that the trail tells: what says that it was before or after is no end of a CA."""
    if not isinstance(retired_at, int) or not isinstance(created_at, int) or retired_at < created_at:
        return False
    newest = store.row("SELECT time FROM audit ORDER BY seq DESC LIMIT 1")
    return newest is None or not isinstance(newest[0], int) or retired_at <= newest[0]


def _issuer(store: Store, row: Sequence[Any]) -> IssuerRow:
    number, der, *others = row
    return store.make_record(_issuer_row, (number, store.proven_cas.get(number, der), *others))


def _issuer_row(number: int, der: bytes, begin: int, end: int, key_file: str, created_at: int) -> IssuerRow:
    try:
        validity = Validity(from_epoch(begin), from_epoch(end))
    except (PolicyError, TypeError, ValueError, OverflowError):  # its certificate says it; nothing is revoked by this
        validity = Validity(from_epoch(EARLIEST), from_epoch(LATEST))
    created_at, key_file = (
        created_at if isinstance(created_at, int) and 0 <= created_at <= LATEST else 0,
        key_file if isinstance(key_file, str) and os.path.basename(key_file) == key_file else "",
    )
    return IssuerRow(number, der if isinstance(der, bytes) else b"", validity, key_file, from_epoch(created_at))


def valid_devices(store: Store, issuer: int, now: datetime) -> int:
    """How many devices have a certificate of a CA that is valid, or on hold."""
    query = "SELECT count(DISTINCT device) FROM unended_certificate WHERE issuer = :issuer AND not_after >= :now"
    return store.record(int, query, {"issuer": issuer, "now": to_epoch(now)}) or 0


def valid_ders(store: Store, issuer: int, now: datetime) -> Iterator[bytes]:
    """What a CA certified that is valid or on hold, DER."""
    query = "SELECT der FROM unended_certificate WHERE issuer = ? AND not_after >= ?"
    return store.each(bytes, query, (issuer, to_epoch(now)))


def devices_up_to(store: Store, issuer: int, certificate: int, now: datetime) -> int:
    """How many devices with a valid certificate of a CA have none that is newer than a certificate's row."""
    query = """SELECT count(*) FROM device d WHERE EXISTS (SELECT 1 FROM unended_certificate c
            WHERE c.device = d.id AND c.issuer = :issuer AND c.not_after >= :now)
        AND (SELECT max(c.id) FROM certificate c WHERE c.device = d.id) <= :certificate"""
    return store.record(int, query, {"issuer": issuer, "now": to_epoch(now), "certificate": certificate}) or 0


def has_certified(store: Store, issuer: int) -> bool:
    """Say whether a CA certified anything, whatever became of that."""
    query = "SELECT 1 FROM certificate WHERE issuer = :issuer UNION ALL SELECT 1 FROM station WHERE issuer = :issuer"
    return store.row(f"{query} LIMIT 1", {"issuer": issuer}) is not None


def brokers_of(store: Store, issuer: int, now: datetime) -> list[str]:
    """Brokers whose newest certificate is of a CA and valid."""
    return store.records(str, _BROKERS, {"issuer": issuer, "now": to_epoch(now)})


def devices_behind(store: Store, now: datetime) -> Iterator[str]:
    """Ids of the devices that have a valid certificate, but none of the CA that issues now; in pages."""
    newest, after = current_issuers(store)[0].id, ""
    parameters = {"now": to_epoch(now), "newest": newest, "size": _PAGE}
    while ids := store.records(str, _BEHIND, {**parameters, "after": after}):
        yield from ids
        after = ids[-1]


def issuer_of(store: Store, serial: SerialNumber) -> int:
    """Row of the CA that issued a certificate that is known to be there."""
    query = "SELECT issuer FROM certificate WHERE serial = ?"
    return store.record(number, query, (serial.octets,)) or 0


def crl_number(store: Store, rows: Sequence[CrlRow], serials: Sequence[SerialNumber]) -> int:
    """Number of the CRL in force among ``rows`` that the newest of a device's ``serials`` is on."""
    if serials and rows[0].issuer != rows[-1].issuer and has_certificate(store, serials[-1]):
        issuer = issuer_of(store, serials[-1])
        return next((row.number for row in rows if row.issuer == issuer), rows[0].number)
    return rows[0].number


def has_issuer_of(store: Store, serial: SerialNumber) -> bool:
    """Say whether the CA that issued a certificate has a row, as it has unless somebody changed its number."""
    query = "SELECT 1 FROM certificate c WHERE c.serial = ? AND c.issuer NOT IN (SELECT id FROM issuer)"
    return store.row(query, (serial.octets,)) is None


def retire_issuer(store: Store, issuer: int, now: datetime) -> None:
    """Mark a CA as retired, and its key as to be erased, in the caller's transaction; its certificates stay known."""
    store.set_meta(KEYS_TO_ERASE, 1)
    store.execute("UPDATE issuer SET retired_at = ? WHERE id = ?", (to_epoch(now), issuer))
    forget_rows(store)


def has_wrong_numbers(store: Store) -> bool:
    """Say whether a CA has a row number that no other row can name, or none does though CAs are numbered in order."""
    return bool(_wrong_numbers(store))


def _wrong_numbers(store: Store) -> list[int]:
    numbers = [number for number, *_ in _rows(store)]
    named = f"SELECT 1 FROM {_NAMED} WHERE issuer = ?"
    return [one for one in numbers if one < 1 or (one > len(numbers) and store.row(named, (one,)) is None)]


def mend_numbers(store: Store) -> list[str]:
    """Give CAs whose row numbers cannot be others, in the caller's transaction; returns what was done, in words.

    One is the number that other rows know it by, where only one number has no CA; else a new one.
    """
    done = []
    for wrong in _wrong_numbers(store):
        known = [number for (number,) in store.rows(_WITHOUT_CA)]
        right = known[0] if len(known) == 1 else store.row("SELECT 1 + max(0, max(id)) FROM issuer")[0]
        if wrong < 1 or len(known) == 1:
            with contextlib.suppress(IotOnboardError):  # of a row that others name all the same
                store.execute("UPDATE issuer SET id = ? WHERE id = ?", (right, wrong))
                done.append(f"gave the CA with the row number {wrong} the number {right}")
            forget_rows(store)
    return done
