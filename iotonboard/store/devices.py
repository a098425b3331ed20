"""CAs, devices and certificates in the database."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.errors import ConflictError, NotFoundError
from iotonboard.model import (
    CertificateRecord,
    DeviceId,
    DeviceRecord,
    RevocationReason,
    RevocationRecord,
    SerialNumber,
    Validity,
    from_epoch,
    to_epoch,
)
from iotonboard.store.connection import Database

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

_attributes_text = json.JSONEncoder(ensure_ascii=False).encode
# A purged key or salt was overwritten with zeros in its place (custody.py); it reads as none.
KEY = "nullif(c.key_der, zeroblob(length(c.key_der)))"
_SALT = "nullif(c.salt, zeroblob(length(c.salt)))"
_CERTIFICATE = (
    f"c.id, c.serial, c.not_before, c.not_after, c.der, c.created_at, {KEY} IS NOT NULL,"
    " r.revocation_date, r.reason FROM certificate c LEFT JOIN revocation r ON r.certificate = c.id"
)


@dataclass(frozen=True, slots=True)
class IssuerRow:
    """A CA certificate of this state and the file name of its key below the CA folder."""

    id: int
    der: bytes
    validity: Validity
    key_file: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the DER certificate, lower-case hex."""
        return sha256(self.der).hexdigest()


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


@dataclass(frozen=True, slots=True)
class DeviceFilter:
    """Which devices ``list`` shows; ``None`` means any.

    ``expiring_before`` takes those that are valid now, with ``expired_since`` also those that expired since then.
    """

    status: str | None = None
    expiring_before: datetime | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    limit: int | None = None
    expired_since: datetime | None = None


class Registry(Database):
    """Who was issued what."""

    # -- issuers ------------------------------------------------------------------------------------------------

    def add_issuer(self, serial: SerialNumber, validity: Validity, der: bytes, key_file: str, now: datetime) -> int:
        """Record a CA certificate and return its row number."""
        return int(
            self.connection.execute(
                "INSERT INTO issuer (serial, not_before, not_after, der, key_file, created_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    serial.octets,
                    to_epoch(validity.not_before),
                    to_epoch(validity.not_after),
                    der,
                    key_file,
                    to_epoch(now),
                ),
            ).lastrowid
            or 0
        )

    def issuers(self) -> list[IssuerRow]:
        """All CAs that are not retired, newest first: the first one issues."""
        return self._issuers("WHERE retired_at IS NULL")

    def all_issuers(self) -> list[IssuerRow]:
        """All CAs that this state ever had, newest first."""
        return self._issuers("")

    def _issuers(self, clause: str) -> list[IssuerRow]:
        query = f"SELECT id, der, not_before, not_after, key_file FROM issuer {clause} ORDER BY id DESC"  # noqa: S608
        return [
            IssuerRow(row, der, Validity(from_epoch(begin), from_epoch(end)), key_file)
            for row, der, begin, end, key_file in self._all(query)
        ]

    # -- devices and certificates -------------------------------------------------------------------------------

    def find_device(self, device_id: str) -> tuple[int, str] | None:
        """Row number and exact spelling of a device, found without regard to case."""
        row = self._one("SELECT id, device_id FROM device WHERE device_id = ?", (str(device_id),))
        return (row[0], row[1]) if row else None

    def device_named(self, device_id: str) -> int:
        """Row number of a device.

        Raises:
            NotFoundError: there is none; the hint names the right spelling when only the case differs.
        """
        found = self.find_device(device_id)
        if found is None or found[1] != device_id:
            spelled = f"did you mean {found[1]!r}?" if found else "'iotonboard list' shows all devices"
            raise NotFoundError(f"there is no device {str(device_id)[:80]!r}", hint=spelled)
        return found[0]

    def add_device(self, device_id: DeviceId, name: str, attributes: Mapping[str, str], now: datetime) -> int:
        """Record a device and return its row number.

        Raises:
            ConflictError: the id exists, in this or another case.
        """
        try:
            cursor = self.connection.execute(
                "INSERT INTO device (device_id, name, attributes, created_at) VALUES (?, ?, ?, ?)",
                (str(device_id), name, _attributes_text(dict(attributes)) if attributes else "{}", to_epoch(now)),
            )
        except sqlite3.IntegrityError:
            raise ConflictError(
                f"device {str(device_id)!r} exists already",
                hint="'--if-exists skip' leaves it, '--if-exists reissue' makes a new certificate",
            ) from None
        return int(cursor.lastrowid or 0)

    def add_certificate(
        self,
        new: NewCertificate,
        *,
        issuer: int,
        now: datetime,
        device: int | None = None,
        host: str | None = None,
    ) -> int:
        """Record a certificate of a device or a broker and return its row number."""
        cursor = self.connection.execute(
            "INSERT INTO certificate (serial, issuer, device, host, not_before, not_after, der, spki_sha256, key_der,"
            " salt, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                new.serial.octets, issuer, device, host, to_epoch(new.validity.not_before),
                to_epoch(new.validity.not_after), new.der, new.spki_sha256, new.key_der, new.salt, to_epoch(now),
            ),
        )  # fmt: skip
        return int(cursor.lastrowid or 0)

    def key_holder(self, spki_sha256: bytes) -> tuple[str, bool] | None:
        """Who holds a certificate for this public key, and whether one was revoked as keyCompromise."""
        row = self._one(
            "SELECT coalesce(d.device_id, c.host), max(r.reason IS 'keyCompromise') FROM certificate c"
            " LEFT JOIN device d ON d.id = c.device LEFT JOIN revocation r ON r.certificate = c.id"
            " WHERE c.spki_sha256 = ? GROUP BY coalesce(d.device_id, c.host)"
            " ORDER BY 2 DESC LIMIT 1",
            (spki_sha256,),
        )
        return (row[0], bool(row[1])) if row else None

    def note_seen(self, device_id: str, line: int) -> int | None:
        """Remember an id of the list being read; the line where it stood before, or ``None``.

        The memory is a temporary table, which SQLite moves to disk when it grows.
        """
        self.connection.execute(
            "CREATE TEMP TABLE IF NOT EXISTS seen"
            " (device_id TEXT PRIMARY KEY COLLATE NOCASE, line INTEGER) WITHOUT ROWID"
        )
        row = self._one("SELECT line FROM seen WHERE device_id = ?", (str(device_id),))
        if row is None:
            self.connection.execute("INSERT INTO seen VALUES (?, ?)", (str(device_id), line))
        return row[0] if row else None

    def device(self, device_id: str) -> DeviceRecord:
        """One device with all its certificates, newest first.

        Raises:
            NotFoundError: there is none.
        """
        row = self.device_named(device_id)
        return self._device_records(
            self._all("SELECT id, device_id, name, attributes, created_at, retired_at FROM device WHERE id = ?", (row,))
        )[0]

    def _device_records(self, rows: Sequence[tuple[int, str, str, str, int, int | None]]) -> list[DeviceRecord]:
        marks = ",".join("?" * len(rows))
        certificates: dict[int, list[CertificateRecord]] = {}
        query = f"SELECT c.device, {_CERTIFICATE} WHERE c.device IN ({marks}) ORDER BY c.id DESC"
        for device, *certificate in self._all(query, [row[0] for row in rows]):
            certificates.setdefault(device, []).append(_certificate_record(*certificate))
        return [
            DeviceRecord(
                DeviceId(device_id), name, json.loads(attributes), from_epoch(created_at),
                tuple(certificates.get(row, ())), None if retired_at is None else from_epoch(retired_at),
            )
            for row, device_id, name, attributes, created_at, retired_at in rows
        ]  # fmt: skip

    def devices(self, chosen: DeviceFilter, now: datetime) -> Iterator[DeviceRecord]:
        """Devices in the order of their ids, without regard to case, in pages of 500."""
        clauses, parameters = _filter_clauses(chosen, now)
        after, left = "", chosen.limit
        while left is None or left > 0:
            size = 500 if left is None else min(500, left)
            rows = self._all(
                "SELECT d.id, d.device_id, d.name, d.attributes, d.created_at, d.retired_at FROM device d"  # noqa: S608 - constants
                f" WHERE d.device_id > :after {clauses} ORDER BY d.device_id LIMIT :size",
                {**parameters, "after": after, "size": size},
            )
            yield from self._device_records(rows)
            if len(rows) < size:
                return
            after = rows[-1][1]
            left = None if left is None else left - len(rows)

    def device_ids(self, prefix: str, limit: int) -> list[str]:
        """Ids that begin with ``prefix``, for shell completion."""
        return [
            row[0]
            for row in self._all(
                "SELECT device_id FROM device WHERE device_id >= ? AND device_id < ? ORDER BY device_id LIMIT ?",
                (prefix, prefix + "\x7f", limit),
            )
        ]

    def newest_device_certificates(self, limit: int) -> list[tuple[str, bytes]]:
        """Device id and DER of the devices that were certified last."""
        query = (
            "SELECT d.device_id, c.der FROM certificate c JOIN device d ON d.id = c.device"
            " WHERE c.id = (SELECT max(id) FROM certificate o WHERE o.device = c.device) ORDER BY c.id DESC LIMIT ?"
        )
        return [(row[0], row[1]) for row in self._all(query, (limit,))]

    def broker_hosts(self) -> list[str]:
        """Hosts that have a broker certificate."""
        return [row[0] for row in self._all("SELECT DISTINCT host FROM certificate WHERE host IS NOT NULL")]

    def broker_certificates(self, host: str) -> list[CertificateRecord]:
        """All certificates of a broker host, newest first."""
        rows = self._all(f"SELECT {_CERTIFICATE} WHERE c.host = ? ORDER BY c.id DESC", (host,))
        return [_certificate_record(*row) for row in rows]

    def certificate_by_serial(self, serial: SerialNumber) -> tuple[CertificateRecord, str]:
        """A certificate and who holds it.

        Raises:
            NotFoundError: this CA never issued that serial.
        """
        row = self._one(
            f"SELECT (SELECT device_id FROM device WHERE id = c.device), c.host, {_CERTIFICATE} WHERE c.serial = ?",  # noqa: S608
            (serial.octets,),
        )
        if row is None:
            raise NotFoundError(f"there is no certificate {serial.hex}", hint="'iotonboard show ID' prints serials")
        return _certificate_record(*row[2:]), row[0] or row[1]

    def has_certificate(self, serial: SerialNumber) -> bool:
        """Say whether this state knows a certificate."""
        return self._one("SELECT 1 FROM certificate WHERE serial = ?", (serial.octets,)) is not None

    def certificate_row(self, serial: SerialNumber) -> int:
        """Row number of a certificate that is known to be there."""
        return int(self._one("SELECT id FROM certificate WHERE serial = ?", (serial.octets,))[0])

    def certificate_secret(self, serial: SerialNumber) -> tuple[bytes | None, bytes | None]:
        """Encrypted key (PKCS#8 DER) and bundle salt of a certificate; both ``None`` when it has none."""
        row = self._one(f"SELECT {KEY}, {_SALT} FROM certificate c WHERE serial = ?", (serial.octets,))  # noqa: S608
        return (row[0], row[1]) if row else (None, None)

    def count_devices(self) -> int:
        """How many devices there are."""
        return int(self._one("SELECT count(*) FROM device")[0])

    def count_status(self, status: str, now: datetime) -> int:
        """How many devices have a status."""
        query = f"SELECT count(*) FROM device d WHERE {_STATUS_CLAUSES[status]}"  # noqa: S608 - constants
        return int(self._one(query, {"now": to_epoch(now)})[0])


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


def _filter_clauses(chosen: DeviceFilter, now: datetime) -> tuple[str, dict[str, object]]:
    clauses: list[str] = []
    parameters: dict[str, object] = {}
    if chosen.status is not None:
        clauses.append(_STATUS_CLAUSES[chosen.status])
        parameters["now"] = to_epoch(now)
    if chosen.expiring_before is not None:
        # Driven by the index on not_after: the devices that expire soon are few among many.
        clauses.append(
            "d.id IN (SELECT c.device FROM certificate c WHERE c.not_after >= :begin AND c.not_after < :end"
            " AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.certificate = c.id))"
            " AND NOT EXISTS (SELECT 1 FROM certificate c WHERE c.device = d.id AND c.not_after >= :end"
            " AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.certificate = c.id))"
        )
        parameters |= {"begin": to_epoch(chosen.expired_since or now), "end": to_epoch(chosen.expiring_before)}
        if chosen.expired_since is not None:
            clauses.append(f"({_VALID} OR d.retired_at IS NULL AND NOT {_HELD} AND NOT {_REVOKED_LAST})")
            parameters["now"] = to_epoch(now)
    for number, (key, value) in enumerate(chosen.attributes):
        clauses.append(f"json_extract(d.attributes, :path{number}) = :value{number}")
        parameters |= {f"path{number}": "$." + json.dumps(key), f"value{number}": value}
    return "".join(f" AND {clause}" for clause in clauses), parameters


_UNREVOKED = "NOT EXISTS (SELECT 1 FROM revocation r WHERE r.certificate = c.id)"
_VALID = f"EXISTS (SELECT 1 FROM certificate c WHERE c.device = d.id AND c.not_after >= :now AND {_UNREVOKED})"  # noqa: S608
_HELD = (
    "EXISTS (SELECT 1 FROM certificate c JOIN revocation r ON r.certificate = c.id"
    " WHERE c.device = d.id AND c.not_after >= :now AND r.reason = 'certificateHold')"
)
_REVOKED_LAST = (
    "EXISTS (SELECT 1 FROM revocation r WHERE r.certificate ="
    " (SELECT max(c.id) FROM certificate c WHERE c.device = d.id))"
)
_STATUS_CLAUSES = {
    "active": _VALID,
    "expired": "d.id IN (SELECT c.device FROM certificate c WHERE c.not_after < :now AND"  # noqa: S608 - constants
    f" {_UNREVOKED}) AND NOT {_VALID} AND NOT {_HELD} AND NOT {_REVOKED_LAST} AND d.retired_at IS NULL",
    "revoked": "d.id IN (SELECT c.device FROM revocation r JOIN certificate c ON c.id = r.certificate)"  # noqa: S608
    f" AND NOT {_VALID} AND NOT {_HELD} AND {_REVOKED_LAST} AND d.retired_at IS NULL",
    "on-hold": "d.id IN (SELECT c.device FROM revocation r JOIN certificate c ON c.id = r.certificate"  # noqa: S608
    f" WHERE r.reason = 'certificateHold') AND NOT {_VALID} AND {_HELD} AND d.retired_at IS NULL",
    "retired": "d.retired_at IS NOT NULL",
}
