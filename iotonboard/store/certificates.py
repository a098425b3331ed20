"""Certificates of devices and brokers. Outside of the store a certificate is named by its serial."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.errors import NotFoundError
from iotonboard.model import (
    CertificateRecord,
    RevocationReason,
    RevocationRecord,
    SerialNumber,
    Validity,
    from_epoch,
    to_epoch,
)
from iotonboard.store.values import octets, text

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.store.store import Store

# A purged key or salt was overwritten with zeros in its place (secrets.py); it reads as none.
KEY = "nullif(c.key_der, zeroblob(length(c.key_der)))"
# The columns of ``certificate_record``, of a certificate ``c`` and its revocation ``r``.
RECORD_COLUMNS = (
    f"c.serial, c.not_before, c.not_after, c.der, c.created_at, {KEY} IS NOT NULL, r.revocation_date, r.reason"
)


@dataclass(frozen=True, slots=True)
class NewCertificate:
    """What is recorded about a certificate before any octet of it leaves the program.

    ``fingerprint``: SHA-256 over the DER certificate, lower-case hex.
    """

    serial: SerialNumber
    validity: Validity
    der: bytes
    fingerprint: str
    spki_sha256: bytes
    key_der: bytes | None
    salt: bytes | None


def add_certificate(
    store: Store,
    new: NewCertificate,
    *,
    issuer: int,
    now: datetime,
    device_id: str | None = None,
    host: str | None = None,
) -> None:
    """Record a certificate of a device or a broker."""
    store.execute(
        "INSERT INTO certificate (serial, issuer, device, host, not_before, not_after, der, spki_sha256, key_der,"
        " salt, created_at) VALUES (?, ?, (SELECT id FROM device WHERE device_id = ?), ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            new.serial.octets, issuer, device_id, host, to_epoch(new.validity.not_before),
            to_epoch(new.validity.not_after), new.der, new.spki_sha256, new.key_der, new.salt, to_epoch(now),
        ),
    )  # fmt: skip


def certificate_record(
    serial: bytes, begin: int, end: int, der: bytes, created_at: int, has_key: int, date: int | None, reason: str | None
) -> CertificateRecord:
    """The record of a row with the ``RECORD_COLUMNS``."""
    number = SerialNumber.from_octets(serial)
    validity = Validity(from_epoch(begin), from_epoch(end))
    revocation = None
    if date is not None and reason is not None:
        revocation = RevocationRecord(number, from_epoch(date), RevocationReason(reason))
    return CertificateRecord(number, validity, octets(der), from_epoch(created_at), revocation, bool(has_key))


def certificate_by_serial(
    store: Store, serial: SerialNumber, *, by_index: bool = True
) -> tuple[CertificateRecord, str]:
    """A certificate and who holds it; without ``by_index`` the table is read through.

    Raises:
        NotFoundError: this CA never issued that serial.
    """
    holder = "coalesce((SELECT device_id FROM device WHERE id = c.device), c.host)"
    scan = "" if by_index else "NOT INDEXED"
    joined = f"certificate c {scan} LEFT JOIN revocation r ON r.certificate = c.id"
    query = f"SELECT {holder}, {RECORD_COLUMNS} FROM {joined} WHERE c.serial = ?"
    found = store.record(lambda name, *row: (certificate_record(*row), text(name)), query, (serial.octets,))
    if found is None:
        raise NotFoundError(f"there is no certificate {serial.hex}", hint="'iotonboard show ID' prints serials")
    return found


def serial_of_fingerprint(store: Store, fingerprint: bytes) -> SerialNumber | None:
    """The serial of the certificate with a SHA-256 fingerprint; ``None`` where there is none. Reads all of them."""
    for serial, der in store.each_row("SELECT serial, der FROM certificate"):
        if isinstance(der, bytes) and sha256(der).digest() == fingerprint:
            return SerialNumber.from_octets(serial)
    return None


def certificate_der(store: Store, serial: SerialNumber) -> bytes | None:
    """The signed octets of a certificate, whatever its row says beside them; ``None``: this state does not know it."""
    return store.record(octets, "SELECT der FROM certificate WHERE serial = ?", (serial.octets,))


def has_issued(store: Store) -> bool:
    """Say whether there is any certificate: then ``init-ca`` was finished, whatever became of its note."""
    return store.row("SELECT 1 FROM certificate LIMIT 1") is not None


def has_certificate(store: Store, serial: SerialNumber) -> bool:
    """Say whether this state knows a certificate."""
    return store.row("SELECT 1 FROM certificate WHERE serial = ?", (serial.octets,)) is not None


def newest_device_certificates(store: Store, limit: int) -> list[tuple[str, int, bytes]]:
    """Device id, row of the CA and DER of the devices that were certified last."""
    query = (
        "SELECT d.device_id, c.issuer, c.der FROM certificate c JOIN device d ON d.id = c.device"
        " WHERE c.id = (SELECT max(id) FROM certificate o WHERE o.device = c.device) ORDER BY c.id DESC LIMIT ?"
    )
    return store.records(lambda name, issuer, der: (text(name), issuer, octets(der)), query, (limit,))


def broker_hosts(store: Store, *, by_index: bool = True) -> list[str]:
    """Hosts that have a broker certificate; without ``by_index`` the table is read through."""
    scan = "" if by_index else "NOT INDEXED"
    return store.records(text, f"SELECT DISTINCT host FROM certificate {scan} WHERE host IS NOT NULL")


def broker_hosts_and_ders(store: Store) -> list[tuple[str, bytes]]:
    """The host and the octets of every certificate that a broker ever had, valid or not; of damaged rows nothing."""
    rows = store.small("SELECT host, der FROM certificate WHERE host IS NOT NULL")
    return [(host, der) for host, der in rows if isinstance(host, str) and isinstance(der, bytes)]


def broker_certificates(store: Store, host: str, *, by_index: bool = True) -> list[CertificateRecord]:
    """All certificates of a broker host, newest first; ``by_index`` as for ``broker_hosts``."""
    joined = f"certificate c {'' if by_index else 'NOT INDEXED'} LEFT JOIN revocation r ON r.certificate = c.id"
    query = f"SELECT {RECORD_COLUMNS} FROM {joined} WHERE c.host = ? ORDER BY c.id DESC"
    return store.records(certificate_record, query, (host,))
