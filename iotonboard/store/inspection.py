"""What the deep inspection reads: the rows beside what the audit trail, folded by ``trail_replay.py``, says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iotonboard.model import SerialNumber, to_epoch
from iotonboard.store.certificates import KEY
from iotonboard.store.trail_replay import TrailEntry
from iotonboard.store.values import octets, optional_octets, text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from iotonboard.store.store import Store


_NEWEST = "SELECT max(id) FROM certificate GROUP BY device, host"


@dataclass(frozen=True, slots=True)
class InspectedCertificate:
    """A certificate's row as it stands: times in seconds since 1970, ``reason`` when it is revoked."""

    serial: SerialNumber
    issuer: int
    name: str
    is_broker: bool
    not_before: int
    not_after: int
    der: bytes
    spki_sha256: bytes
    reason: str | None
    revocation_date: int | None
    said: TrailEntry


@dataclass(frozen=True, slots=True)
class WrittenCertificate:
    """The newest certificate of a device or broker, whose files are in its folder.

    ``issuer`` is the row of its CA.

    ``is_purged``: its key and bundle were erased. ``bundle_sha256``: of the bundle that the trail says was made, and
    ``noted_sha256`` what the rows say of it, lower-case hex.
    """

    name: str
    is_broker: bool
    issuer: int
    serial: SerialNumber
    der: bytes
    key_der: bytes | None
    is_purged: bool
    bundle_sha256: str | None
    noted_sha256: str | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A certificate that the trail speaks of, and for whom it was recorded."""

    serial: SerialNumber
    subject: str


def inspected_certificates(store: Store) -> Iterator[InspectedCertificate]:
    """Every certificate with what the trail says of it, in the order of their making."""
    query = """SELECT c.serial, c.issuer, coalesce(d.device_id, c.host, ''), c.host IS NOT NULL, c.not_before,
        c.not_after, c.der, c.spki_sha256, r.reason, r.revocation_date,
        t.subject, t.fingerprint, t.revoked, t.dated, t.bundle
        FROM certificate c LEFT JOIN device d ON d.id = c.device LEFT JOIN revocation r ON r.certificate = c.id
        LEFT JOIN temp.trail t ON t.serial = c.serial ORDER BY c.id"""
    return store.each(_inspected, query)


def _inspected(*row: Any) -> InspectedCertificate:
    serial, issuer, name, is_broker, begin, end, der, spki_sha256, reason, date, *said = row
    number = SerialNumber.from_octets(serial)
    said_of_it = TrailEntry(*said)
    return InspectedCertificate(
        number, issuer, text(name), bool(is_broker), begin, end, octets(der), spki_sha256, reason, date, said_of_it
    )


def odd_bundles(store: Store) -> list[tuple[int, str]]:
    """Rows of bundles' digests that the trail does not tell so: certificate and holder.

    Of the newest certificates, whose bundle lies in a folder, ``written_certificates`` tells.
    """
    query = f"""SELECT b.certificate, coalesce(d.device_id, c.host, '') FROM bundle b
        JOIN certificate c ON c.id = b.certificate LEFT JOIN device d ON d.id = c.device
        LEFT JOIN temp.trail t ON t.serial = c.serial WHERE lower(hex(b.sha256)) IS NOT t.bundle
        AND (c.id NOT IN ({_NEWEST}) OR c.key_der IS NULL) ORDER BY 1 LIMIT 1000"""
    return [(int(row), str(name)) for row, name in store.rows(query)]


def written_certificates(store: Store) -> Iterator[WrittenCertificate]:
    """The newest certificate of each device and broker."""
    query = f"""SELECT coalesce(d.device_id, c.host), c.host IS NOT NULL, c.issuer, c.serial, c.der, {KEY},
        c.id IN (SELECT certificate FROM purge), t.bundle,
        (SELECT lower(hex(b.sha256)) FROM bundle b WHERE b.certificate = c.id)
        FROM certificate c LEFT JOIN device d ON d.id = c.device LEFT JOIN temp.trail t ON t.serial = c.serial
        WHERE c.id IN ({_NEWEST})
        AND coalesce(d.device_id, c.host) IS NOT NULL ORDER BY c.id"""
    return store.each(_written, query)


def _written(
    name: str,
    is_broker: int,
    issuer: int,
    serial: bytes,
    der: bytes,
    key_der: bytes | None,
    is_purged: int,
    *bundle: Any,
) -> WrittenCertificate:
    number = SerialNumber.from_octets(serial)
    holder = text(name), bool(is_broker), issuer if isinstance(issuer, int) else 0
    keys = optional_octets(key_der), bool(is_purged)
    return WrittenCertificate(*holder, number, octets(der), *keys, *bundle)


def vanished_certificates(store: Store) -> Iterator[Recorded]:
    """Certificates that were issued, and have no row."""
    query = """SELECT t.serial, t.subject FROM temp.trail t WHERE t.fingerprint IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM certificate c WHERE c.serial = t.serial)"""
    return store.each(_recorded, query)


def foreign_ids(store: Store) -> list[str]:
    """Ids whose form only adopted devices have, and perhaps some more. Reads all of them."""
    return store.records(
        str,
        """SELECT device_id FROM device WHERE device_id GLOB '*[^A-Za-z0-9._-]*' OR device_id GLOB '[._-]*'
            OR device_id GLOB '*.' OR lower(substr(device_id, 1, 3)) IN ('con', 'prn', 'aux', 'nul', 'com', 'lpt')""",
    )


def certificates_to_list(store: Store, now: datetime) -> Iterator[Recorded]:
    """Certificates that were revoked, have not expired, and belong on the CRL of a CA that is not retired."""
    query = """SELECT t.serial, t.subject FROM temp.trail t JOIN certificate c ON c.serial = t.serial
        JOIN issuer i ON i.id = c.issuer WHERE t.revoked IS NOT NULL AND c.not_after >= ? AND i.retired_at IS NULL"""
    return store.each(_recorded, query, (to_epoch(now),))


def _recorded(serial: bytes, subject: str) -> Recorded:
    return Recorded(SerialNumber.from_octets(serial), subject)


def valid_at_once(store: Store, now: datetime) -> Iterator[tuple[str, int]]:
    """Devices with several valid certificates that no renewal left so, and how many."""
    query = """SELECT d.device_id, count(*) FROM unrevoked_certificate c JOIN device d ON d.id = c.device
        WHERE c.not_after >= ? AND NOT EXISTS (SELECT 1 FROM overlap o WHERE o.certificate = c.id)
        GROUP BY c.device HAVING count(*) > 1"""
    return store.each(lambda *row: row, query, (to_epoch(now),))
