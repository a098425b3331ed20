"""CAs whose key was stolen, and the devices that had their certificates from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.model import SerialNumber, from_epoch, to_epoch
from iotonboard.store.left_to_do import REPLACED_FILES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from iotonboard.store.store import Store

_PAGE = 500
# Devices whose newest certificate is still the one that they lost; one that was retired needs none.
_WAITING = """SELECT d.device_id FROM reenrolment r JOIN certificate c ON c.id = r.certificate
    JOIN device d ON d.id = c.device WHERE d.retired_at IS NULL AND d.device_id > :after
    AND c.id = (SELECT max(id) FROM certificate WHERE device = d.id)"""
_WAITING_HOSTS = """SELECT c.host FROM reenrolment r JOIN certificate c ON c.id = r.certificate
    WHERE c.host IS NOT NULL AND c.id = (SELECT max(id) FROM certificate WHERE host = c.host) ORDER BY c.host"""
# The newest certificates of devices and brokers that had a valid one of a CA.
_LOST = """INSERT OR IGNORE INTO reenrolment (certificate, issuer) SELECT c.id, c.issuer FROM certificate c
    WHERE c.issuer = :issuer AND c.not_after >= :now
    AND c.id = (SELECT max(id) FROM certificate WHERE {holder} = c.{holder}) AND EXISTS (
        SELECT 1 FROM unrevoked_certificate v WHERE v.{holder} = c.{holder} AND v.issuer = :issuer
            AND v.not_after >= :now)"""
# All that has not expired but what was revoked as keyCompromise before.
_UNEXPIRED = """SELECT c.serial, coalesce(d.device_id, c.host), c.device IS NOT NULL AND c.key_der IS NULL, r.reason
    FROM certificate c LEFT JOIN device d ON d.id = c.device LEFT JOIN revocation r ON r.certificate = c.id
    WHERE c.issuer = ? AND c.not_after >= ? ORDER BY c.id"""


@dataclass(frozen=True, slots=True)
class CompromisedCa:
    """A CA whose key was stolen: row, last CRL (DER), anchors that followed, and both signatures over that file."""

    issuer: int
    replaced_at: datetime
    last_crl: bytes
    anchors: bytes
    old_signature: bytes
    new_signature: bytes


@dataclass(frozen=True, slots=True)
class Issued:
    """An unexpired certificate: whose, whether its key never was here, and why it was revoked, if it was."""

    serial: SerialNumber
    subject: str
    is_device_made: bool
    reason: str | None


def is_compromised(store: Store, issuer: int) -> bool:
    """Say whether somebody stole the key of a CA, named by its row: what it signs proves nothing any more."""
    return bool(store.row("SELECT count(*) FROM compromised_ca WHERE issuer = ?", (issuer,))[0])


def compromised_cas(store: Store) -> list[CompromisedCa]:
    """The CAs whose keys were stolen, oldest first."""
    columns = "issuer, replaced_at, last_crl, anchors, old_signature, new_signature"
    return store.records(_compromised, f"SELECT {columns} FROM compromised_ca ORDER BY issuer")


def _compromised(issuer: int, replaced_at: int, *octets: bytes) -> CompromisedCa:
    return CompromisedCa(issuer, from_epoch(replaced_at), *octets)


def add_compromised(store: Store, ca: CompromisedCa) -> None:
    """Record a CA whose key was stolen, and that its files are to be written."""
    store.execute(
        "INSERT INTO compromised_ca (issuer, replaced_at, last_crl, anchors, old_signature, new_signature)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (ca.issuer, to_epoch(ca.replaced_at), ca.last_crl, ca.anchors, ca.old_signature, ca.new_signature),
    )
    store.set_meta(REPLACED_FILES, 1)


def unexpired(store: Store, issuer: int, now: datetime) -> list[Issued]:
    """The certificates of a CA that have not expired, revoked or not, in the order in which they were issued."""
    return store.records(_issued, _UNEXPIRED, (issuer, to_epoch(now)))


def _issued(serial: bytes, subject: str, is_device_made: int, reason: str | None) -> Issued:
    return Issued(SerialNumber.from_octets(serial), subject, bool(is_device_made), reason)


def note_reenrolments(store: Store, issuer: int, now: datetime) -> None:
    """Note the devices and brokers whose valid certificate is of this CA, before it is revoked."""
    for holder in ("device", "host"):
        store.execute(_LOST.format(holder=holder), {"issuer": issuer, "now": to_epoch(now)})


def awaits_reenrolment(store: Store, device_id: str) -> bool:
    """Say whether a device lost its certificate with its CA, and not because somebody revoked it."""
    query = f"SELECT count(*) FROM ({_WAITING} AND d.device_id = :device)"
    return bool(store.row(query, {"after": "", "device": device_id})[0])


def give_up_reenrolment(store: Store, serials: Iterable[SerialNumber]) -> bool:
    """Forget, in the caller's transaction, that whoever had one of these certificates is to get a new one.

    ``True`` when that was so.
    """
    query = "DELETE FROM reenrolment WHERE certificate IN (SELECT id FROM certificate WHERE serial = ?)"
    return sum(store.execute(query, (serial.octets,)).rowcount for serial in serials) > 0


def lost_certificates(store: Store, device_id: str, *, by_index: bool = True) -> list[SerialNumber]:
    """Serials of a device's certificates that ended with their CA, and were not replaced then.

    Without ``by_index`` the tables are read through.
    """
    scan = "" if by_index else "NOT INDEXED"
    query = f"""SELECT c.serial FROM reenrolment r JOIN certificate c {scan} ON c.id = r.certificate
        WHERE c.device IN (SELECT id FROM device {scan} WHERE device_id = ?)"""
    return store.records(SerialNumber.from_octets, query, (device_id,))


def count_waiting(store: Store) -> int:
    """How many devices lost their certificate with their CA, and have no new one."""
    return int(store.row(f"SELECT count(*) FROM ({_WAITING})", {"after": ""})[0])


def waiting_devices(store: Store) -> Iterator[str]:
    """Ids of the devices that lost their certificate with their CA, and have no new one; in pages."""
    after = ""
    while ids := store.records(str, f"{_WAITING} ORDER BY d.device_id LIMIT :size", {"after": after, "size": _PAGE}):
        yield from ids
        after = ids[-1]


def waiting_brokers(store: Store) -> list[str]:
    """Hosts of brokers that lost their certificate with their CA, and have no new one."""
    return store.records(str, _WAITING_HOSTS)
