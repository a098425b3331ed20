"""Certificates of devices and brokers."""

from __future__ import annotations

from dataclasses import dataclass
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

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.store.store import Store

# A purged key or salt was overwritten with zeros in its place (secrets.py); it reads as none.
KEY = "nullif(c.key_der, zeroblob(length(c.key_der)))"
_SALT = "nullif(c.salt, zeroblob(length(c.salt)))"
_CERTIFICATE = (
    f"c.id, c.serial, c.not_before, c.not_after, c.der, c.created_at, {KEY} IS NOT NULL,"
    " r.revocation_date, r.reason FROM certificate c LEFT JOIN revocation r ON r.certificate = c.id"
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


def _certificate_record(
    _row: int, serial: bytes, begin: int, end: int, der: bytes, created_at: int, has_key: int, date: int | None,
    reason: str | None,
) -> CertificateRecord:  # fmt: skip
    number = SerialNumber(int.from_bytes(serial))
    revocation = (
        RevocationRecord(number, from_epoch(date), RevocationReason(reason))
        if date is not None and reason is not None
        else None
    )
    return CertificateRecord(
        number,
        Validity(from_epoch(begin), from_epoch(end)),
        der,
        from_epoch(created_at),
        revocation,
        bool(has_key),
    )


def add_certificate(
    store: Store,
    new: NewCertificate,
    *,
    issuer: int,
    now: datetime,
    device: int | None = None,
    host: str | None = None,
) -> int:
    """Record a certificate of a device or a broker and return its row number."""
    cursor = store.execute(
        "INSERT INTO certificate (serial, issuer, device, host, not_before, not_after, der, spki_sha256, key_der,"
        " salt, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            new.serial.octets, issuer, device, host, to_epoch(new.validity.not_before),
            to_epoch(new.validity.not_after), new.der, new.spki_sha256, new.key_der, new.salt, to_epoch(now),
        ),
    )  # fmt: skip
    return int(cursor.lastrowid or 0)


def key_holder(store: Store, spki_sha256: bytes) -> tuple[str, bool] | None:
    """Who holds a certificate for this public key, and whether one was revoked as keyCompromise."""
    row = store.row(
        "SELECT coalesce(d.device_id, c.host), max(r.reason IS 'keyCompromise') FROM certificate c"
        " LEFT JOIN device d ON d.id = c.device LEFT JOIN revocation r ON r.certificate = c.id"
        " WHERE c.spki_sha256 = ? GROUP BY coalesce(d.device_id, c.host)"
        " ORDER BY 2 DESC LIMIT 1",
        (spki_sha256,),
    )
    return (row[0], bool(row[1])) if row else None


def newest_device_certificates(store: Store, limit: int) -> list[tuple[str, bytes]]:
    """Device id and DER of the devices that were certified last."""
    query = (
        "SELECT d.device_id, c.der FROM certificate c JOIN device d ON d.id = c.device"
        " WHERE c.id = (SELECT max(id) FROM certificate o WHERE o.device = c.device) ORDER BY c.id DESC LIMIT ?"
    )
    return [(row[0], row[1]) for row in store.rows(query, (limit,))]


def broker_hosts(store: Store) -> list[str]:
    """Hosts that have a broker certificate."""
    return [row[0] for row in store.rows("SELECT DISTINCT host FROM certificate WHERE host IS NOT NULL")]


def broker_certificates(store: Store, host: str) -> list[CertificateRecord]:
    """All certificates of a broker host, newest first."""
    rows = store.rows(f"SELECT {_CERTIFICATE} WHERE c.host = ? ORDER BY c.id DESC", (host,))
    return [_certificate_record(*row) for row in rows]


def certificate_by_serial(store: Store, serial: SerialNumber) -> tuple[CertificateRecord, str]:
    """A certificate and who holds it.

    Raises:
        NotFoundError: this CA never issued that serial.
    """
    row = store.row(
        f"SELECT (SELECT device_id FROM device WHERE id = c.device), c.host, {_CERTIFICATE} WHERE c.serial = ?",  # noqa: S608
        (serial.octets,),
    )
    if row is None:
        raise NotFoundError(f"there is no certificate {serial.hex}", hint="'iotonboard show ID' prints serials")
    return _certificate_record(*row[2:]), row[0] or row[1]


def has_certificate(store: Store, serial: SerialNumber) -> bool:
    """Say whether this state knows a certificate."""
    return store.row("SELECT 1 FROM certificate WHERE serial = ?", (serial.octets,)) is not None


def certificate_row(store: Store, serial: SerialNumber) -> int:
    """Row number of a certificate that is known to be there."""
    return int(store.row("SELECT id FROM certificate WHERE serial = ?", (serial.octets,))[0])


def certificate_secret(store: Store, serial: SerialNumber) -> tuple[bytes | None, bytes | None]:
    """Encrypted key (PKCS#8 DER) and bundle salt of a certificate; both ``None`` when it has none."""
    row = store.row(f"SELECT {KEY}, {_SALT} FROM certificate c WHERE serial = ?", (serial.octets,))  # noqa: S608
    return (row[0], row[1]) if row else (None, None)


def is_device_made(store: Store, serial: SerialNumber) -> bool:
    """Say whether the key of a certificate never was on the workstation; an erased key was."""
    query = "SELECT key_der IS NULL FROM certificate WHERE serial = ?"
    return bool(store.row(query, (serial.octets,))[0])
