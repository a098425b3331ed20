"""The database: connection, the one lock, and queries that return model records.

``Store.transaction()`` is ``BEGIN IMMEDIATE``: SQLite's write lock is the only lock of the program.
Everything that writes does so inside it; readers never wait.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from iotonboard import schema
from iotonboard.errors import BusyError, ConflictError, IotOnboardError, NotFoundError, StateError
from iotonboard.model import (
    Access,
    CertificateRecord,
    DeviceId,
    DeviceRecord,
    RevocationReason,
    RevocationRecord,
    SerialNumber,
    TopicRule,
    Validity,
    from_epoch,
    to_epoch,
)
from iotonboard.record import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

# A purged key or salt was overwritten with zeros in its place (custody.py); it reads as none.
_KEY = "nullif(c.key_der, zeroblob(length(c.key_der)))"
_SALT = "nullif(c.salt, zeroblob(length(c.salt)))"
_CERTIFICATE = (
    f"c.id, c.serial, c.not_before, c.not_after, c.der, c.created_at, {_KEY} IS NOT NULL,"
    " r.revocation_date, r.reason FROM certificate c LEFT JOIN revocation r ON r.certificate = c.id"
)
# A device whose every certificate is revoked; computed from the revocations, which are few: the plus keeps SQLite
# from walking all certificates instead.
_FULLY_REVOKED = """SELECT c.device FROM revocation r JOIN certificate c ON c.id = +r.certificate
    WHERE c.device IS NOT NULL AND r.not_after >= :listed_since AND NOT EXISTS (
        SELECT 1 FROM certificate o WHERE o.device = c.device AND o.not_after >= :now
        AND NOT EXISTS (SELECT 1 FROM revocation p WHERE p.certificate = o.id))"""


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
        return hashlib.sha256(self.der).hexdigest()


@dataclass(frozen=True, slots=True)
class NewCertificate:
    """What is recorded about a certificate before any octet of it leaves the program."""

    serial: SerialNumber
    validity: Validity
    der: bytes
    spki_sha256: bytes
    key_der: bytes | None
    salt: bytes | None

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the DER certificate, lower-case hex."""
        return hashlib.sha256(self.der).hexdigest()


@dataclass(frozen=True, slots=True)
class CrlRow:
    """One CRL of the published generation. ``der`` is ``None`` once it was thinned out."""

    generation: int
    issuer: int
    number: int
    this_update: datetime
    next_update: datetime
    revoked: int
    der: bytes | None


@dataclass(frozen=True, slots=True)
class PendingFiles:
    """One certificate whose files are to be written: for a device (``host`` empty) or a broker."""

    certificate: int
    name: str
    is_broker: bool
    der: bytes
    key_der: bytes | None
    bundle: bytes | None


@dataclass(frozen=True, slots=True)
class DeviceFilter:
    """Which devices ``list`` shows; ``None`` means any."""

    status: str | None = None
    expiring_before: datetime | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    limit: int | None = None


def database_error(error: sqlite3.Error, path: str) -> IotOnboardError:
    """Turn SQLite's error into the program's own."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return BusyError(
            "another iotonboard command holds the state",
            hint="wait for it and try again, or raise 'busy_timeout_seconds' in the configuration",
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StateError(f"the database {path!r} is damaged: {error}", hint="restore it from the latest backup")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        return BusyError(
            f"the database {path!r} cannot be used: {error}",
            hint="check free space and permissions of its folder; nothing was changed, run the command again",
        )
    if code == sqlite3.SQLITE_ERROR and "no such" in str(error):
        return StateError(f"the database {path!r} lacks a part: {error}", hint="restore it from the latest backup")
    raise error


class Store:
    """One connection to ``devices.db``."""

    def __init__(self, path: str, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection = connection

    @classmethod
    def open(cls, path: str, *, timeout_s: float, now: datetime, create: bool = False) -> Store:
        """Open the database, or make it when ``create`` says so.

        Raises:
            StateError: there is none, it is damaged, or a newer version made it.
            BusyError: locked for longer than ``timeout_s``, or the disk refuses.
        """
        if not create and not os.path.exists(path):
            raise StateError(f"there is no database {path!r}", hint="'iotonboard init-ca' makes a new state directory")
        try:
            if create and not os.path.exists(path):
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            connection = sqlite3.connect(path, timeout=timeout_s, isolation_level=None)
            # FULL: a COMMIT that returned survives a power cut. secure_delete: erased rows leave no octets.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")
            # A group of a batch touches some thousand pages; what does not fit is written twice and read again.
            connection.execute("PRAGMA cache_size = -16384")
            schema.migrate(connection, to_epoch(now), create=create)
            if create:
                connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.Error as error:
            raise database_error(error, path) from error
        except OSError as error:
            raise BusyError(f"cannot open {path!r}: {error.strerror}", hint="check its permissions") from error
        return cls(path, connection)

    def close(self) -> None:
        """Close the connection; SQLite folds its log into the database when this is the last one."""
        self.connection.close()

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """Hold the write lock; COMMIT at the end, ROLLBACK when anything is raised.

        With ``durable`` false a power cut may undo the COMMIT, and no earlier one: for notes of what was published,
        without which the next command does it again.
        """
        try:
            if not durable:
                self.connection.execute("PRAGMA synchronous = NORMAL")
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise database_error(error, self.path) from error
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException as error:
            self._roll_back()
            if isinstance(error, sqlite3.Error):
                raise database_error(error, self.path) from error
            raise
        finally:
            if not durable:
                self.connection.execute("PRAGMA synchronous = FULL")

    def _roll_back(self) -> None:
        """Undo the open transaction; SQLite did it by itself when the disk refused, and never keeps a part of it."""
        if self.connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """See one consistent state through several queries, without keeping writers waiting."""
        self.connection.execute("BEGIN")
        try:
            yield
        except sqlite3.Error as error:
            raise database_error(error, self.path) from error
        finally:
            self._roll_back()

    @contextlib.contextmanager
    def without_waiting(self) -> Iterator[None]:
        """For the block, give up at once when another command holds the lock."""
        wait_ms = self.connection.execute("PRAGMA busy_timeout").fetchone()[0]
        self.connection.execute("PRAGMA busy_timeout = 0")
        try:
            yield
        finally:
            self.connection.execute(f"PRAGMA busy_timeout = {wait_ms:d}")

    @contextlib.contextmanager
    def savepoint(self) -> Iterator[None]:
        """Inside a transaction: undo what the block did, and nothing else, when it raises."""
        self.connection.execute("SAVEPOINT row")
        try:
            yield
        except BaseException:
            if self.connection.in_transaction:  # a full disk ends the transaction with all its savepoints
                self.connection.execute("ROLLBACK TO row")
                self.connection.execute("RELEASE row")
            raise
        self.connection.execute("RELEASE row")

    def _all(self, query: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> list[Any]:
        try:
            return self.connection.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise database_error(error, self.path) from error

    def _one(self, query: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> Any:
        try:
            return self.connection.execute(query, parameters).fetchone()
        except sqlite3.Error as error:
            raise database_error(error, self.path) from error

    # -- meta ---------------------------------------------------------------------------------------------------

    def meta(self, key: str) -> Any:
        """A single value, or ``None``."""
        row = self._one("SELECT value FROM meta WHERE key = ?", (key,))
        return row[0] if row else None

    def set_meta(self, key: str, value: float | str | bytes) -> None:
        """Write a single value."""
        self.connection.execute(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, value),
        )

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
                (str(device_id), name, json.dumps(dict(attributes), ensure_ascii=False), to_epoch(now)),
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

    def is_revoked(self, serial: SerialNumber) -> bool:
        """Say whether a serial is revoked, be its certificate known or not."""
        query = (
            "SELECT 1 FROM revocation r JOIN certificate c ON c.id = r.certificate WHERE c.serial = ?"
            " UNION ALL SELECT 1 FROM foreign_revocation WHERE serial = ?"
        )
        return self._one(query, (serial.octets, serial.octets)) is not None

    def add_foreign_revocation(self, issuer: int, serial: SerialNumber, entry_der: bytes) -> None:
        """Keep a revocation whose certificate this state does not know: it stays on every CRL."""
        self.connection.execute(
            "INSERT INTO foreign_revocation (issuer, serial, entry_der) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (issuer, serial.octets, entry_der),
        )

    def copy_to(self, path: str) -> None:
        """Write a consistent copy into the empty file ``path``, while others go on writing.

        Raises:
            BusyError: the disk refuses.
        """
        try:
            self.connection.execute("VACUUM INTO ?", (path,))
        except sqlite3.Error as error:
            raise database_error(error, path) from error

    def keep_log(self) -> None:
        """Switch a copied database to the write-ahead log that every state uses."""
        try:
            self.connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.Error as error:
            raise database_error(error, self.path) from error

    def certificate_row(self, serial: SerialNumber) -> int:
        """Row number of a certificate that is known to be there."""
        return int(self._one("SELECT id FROM certificate WHERE serial = ?", (serial.octets,))[0])

    def certificate_secret(self, serial: SerialNumber) -> tuple[bytes | None, bytes | None]:
        """Encrypted key (PKCS#8 DER) and bundle salt of a certificate; both ``None`` when it has none."""
        row = self._one(f"SELECT {_KEY}, {_SALT} FROM certificate c WHERE serial = ?", (serial.octets,))  # noqa: S608
        return (row[0], row[1]) if row else (None, None)

    def count_devices(self) -> int:
        """How many devices there are."""
        return int(self._one("SELECT count(*) FROM device")[0])

    # -- revocations and CRLs -----------------------------------------------------------------------------------

    def add_revocation(self, serial: SerialNumber, date: datetime, reason: RevocationReason, entry_der: bytes) -> None:
        """Record a revocation; one that is there already stays as it was, unless it is a hold."""
        self.connection.execute(
            "INSERT INTO revocation (certificate, revocation_date, reason, not_after, entry_der)"
            " SELECT id, ?, ?, not_after, ? FROM certificate WHERE serial = ? ON CONFLICT (certificate)"
            " DO UPDATE SET reason = excluded.reason, revocation_date = excluded.revocation_date,"
            " entry_der = excluded.entry_der WHERE revocation.reason = 'certificateHold'",
            (to_epoch(date), reason.value, entry_der, serial.octets),
        )

    def revocable(self, device: int, now: datetime, *, also_held: bool = False) -> list[SerialNumber]:
        """Serials of a device's certificates that are neither revoked nor expired, oldest first.

        ``also_held``: those on hold too, which can still be revoked for good.
        """
        spared = " AND r.reason <> 'certificateHold'" if also_held else ""
        query = (
            "SELECT serial FROM certificate c WHERE device = ? AND not_after >= ? AND NOT EXISTS"  # noqa: S608 - constants
            f" (SELECT 1 FROM revocation r WHERE r.certificate = c.id{spared}) ORDER BY id"
        )
        return [SerialNumber(int.from_bytes(row[0])) for row in self._all(query, (device, to_epoch(now)))]

    def crl_entries(self, issuer: int, listed_since: datetime) -> Iterator[bytes]:
        """Encoded CRL entries of an issuer's certificates that expire at ``listed_since`` or later."""
        known, foreign, parameters = self._listed(issuer, listed_since)
        for query in (known, foreign):
            yield from map(itemgetter(0), self.connection.execute(f"SELECT entry_der {query}", parameters))

    def count_crl_entries(self, issuer: int, listed_since: datetime) -> int:
        """How many entries ``crl_entries`` has."""
        known, foreign, parameters = self._listed(issuer, listed_since)
        return sum(int(self._one(f"SELECT count(*) {query}", parameters)[0]) for query in (known, foreign))

    def crl_entry(self, issuer: int, listed_since: datetime, serial: SerialNumber) -> bytes | None:
        """The one of ``crl_entries`` that the row of this serial's certificate has; ``None`` when there is none."""
        query = (
            "SELECT r.entry_der FROM certificate c JOIN revocation r ON r.certificate = c.id"
            " WHERE c.serial = :serial AND r.not_after >= :since AND c.issuer = :issuer UNION ALL"
            " SELECT entry_der FROM foreign_revocation WHERE serial = :serial AND issuer = :issuer"
        )
        row = self._one(query, {"serial": serial.octets, "since": to_epoch(listed_since), "issuer": issuer})
        return row[0] if row else None

    def _listed(self, issuer: int, listed_since: datetime) -> tuple[str, str, dict[str, int]]:
        """Where the revocations of a CRL stand: those of known certificates, in their order, and the others."""
        known = "FROM revocation r WHERE r.not_after >= :since"
        if len(self._all("SELECT id FROM issuer LIMIT 2")) > 1:
            known = (
                "FROM revocation r JOIN certificate c ON c.id = +r.certificate"
                " WHERE r.not_after >= :since AND c.issuer = :issuer"
            )
        foreign = "FROM foreign_revocation WHERE issuer = :issuer"
        return known, foreign, {"since": to_epoch(listed_since), "issuer": issuer}

    def unlisted_revocations(self) -> int:
        """How many revocations were recorded after the last CRL was signed."""
        return int(self.meta("unlisted_revocations") or 0)

    def add_crl(self, row: CrlRow, now: datetime) -> None:
        """Record a CRL; its number can be used once only."""
        self.connection.execute(
            "INSERT INTO crl (generation, issuer, number, this_update, next_update, revoked, der, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.generation, row.issuer, row.number, to_epoch(row.this_update), to_epoch(row.next_update),
                row.revoked, row.der, to_epoch(now),
            ),
        )  # fmt: skip

    def last_crl(self, issuer: int, *, with_der: bool = True) -> CrlRow | None:
        """The CRL of an issuer with the highest number."""
        rows = self._crls("WHERE issuer = ? ORDER BY number DESC LIMIT 1", (issuer,), with_der=with_der)
        return rows[0] if rows else None

    def last_listed_crl(self, issuer: int) -> CrlRow | None:
        """The newest CRL of an issuer whose octets are kept; a number that ``restore`` only passed has none."""
        rows = self._crls("WHERE issuer = ? AND der IS NOT NULL ORDER BY number DESC LIMIT 1", (issuer,))
        return rows[0] if rows else None

    def newest_generation(self) -> int:
        """Number of the generation that ``crl.pem`` holds; 0 before the first one."""
        return int(self._one("SELECT coalesce(max(generation), 0) FROM crl")[0])

    def newest_update(self, now: datetime) -> datetime | None:
        """The latest thisUpdate that is not in the future, of the CRLs of the newest generation."""
        query = (
            "SELECT max(this_update) FROM crl WHERE generation = (SELECT max(generation) FROM crl) AND this_update <= ?"
        )
        found = self._one(query, (to_epoch(now),))[0]
        return None if found is None else from_epoch(found)

    def crl_generation(self, *, with_der: bool = True) -> list[CrlRow]:
        """Every CRL of the newest generation: what ``crl.pem`` holds."""
        return self._crls("WHERE generation = (SELECT max(generation) FROM crl) ORDER BY id", (), with_der=with_der)

    def generation_ders(self) -> Iterator[bytes]:
        """The octets of the newest generation's CRLs, one at a time: a calendar of large ones fills the memory."""
        query = (
            "SELECT der FROM crl WHERE generation = (SELECT max(generation) FROM crl) AND der IS NOT NULL ORDER BY id"
        )
        return map(itemgetter(0), self.connection.execute(query))

    def _crls(self, tail: str, parameters: Sequence[object], *, with_der: bool = True) -> list[CrlRow]:
        der = "der" if with_der else "NULL"
        query = f"SELECT generation, issuer, number, this_update, next_update, revoked, {der} FROM crl {tail}"  # noqa: S608
        return [
            CrlRow(generation, issuer, number, from_epoch(this), from_epoch(following), revoked, der)
            for generation, issuer, number, this, following, revoked, der in self._all(query, parameters)
        ]

    def thin_crls(self, keep: int) -> None:
        """Keep the octets of the newest ``keep`` generations; number and times of all stay."""
        self.connection.execute(
            "UPDATE crl SET der = NULL WHERE der IS NOT NULL AND generation <= (SELECT max(generation) FROM crl) - ?",
            (keep,),
        )

    def audit_head(self) -> tuple[int, bytes, int, bytes] | None:
        """The newest signed head of the trail: row number, hash, issuer and signature."""
        row = self._one("SELECT seq, hash, issuer, signature FROM audit_head ORDER BY seq DESC LIMIT 1")
        return (row[0], row[1], row[2], row[3]) if row else None

    def set_audit_head(self, seq: int, digest: bytes, issuer: int, signature: bytes) -> None:
        """Keep the newest signed head of the audit trail in place of the one before."""
        self.connection.execute("DELETE FROM audit_head WHERE seq <> ?", (seq,))
        self.connection.execute(
            "INSERT OR REPLACE INTO audit_head (seq, hash, issuer, signature) VALUES (?, ?, ?, ?)",
            (seq, digest, issuer, signature),
        )

    # -- what the broker gets -----------------------------------------------------------------------------------

    def permitted_ids(self, now: datetime) -> Iterator[str]:
        """Ids of devices, in their order, but for the retired and those with a revoked certificate and no valid one."""
        query = (
            "SELECT device_id FROM device WHERE id NOT IN (SELECT id FROM device WHERE retired_at IS NOT NULL"  # noqa: S608
            f" UNION {_FULLY_REVOKED}) ORDER BY device_id"
        )
        return map(itemgetter(0), self.connection.execute(query, {"now": to_epoch(now), "listed_since": 0}))

    def denied_ids(self, now: datetime, listed_since: datetime) -> list[str]:
        """Ids of devices with a listed revocation and no valid certificate."""
        query = f"SELECT device_id FROM device WHERE id IN ({_FULLY_REVOKED}) ORDER BY device_id"  # noqa: S608
        return [row[0] for row in self._all(query, {"now": to_epoch(now), "listed_since": to_epoch(listed_since)})]

    def extra_topics(self) -> dict[str, list[TopicRule]]:
        """Topic rules of single devices, beside the templates that all get."""
        topics: dict[str, list[TopicRule]] = {}
        # Sorted by an expression: the topics are walked and not the index of all devices.
        query = (
            "SELECT d.device_id || '', t.access, t.topic FROM topic t JOIN device d ON d.id = t.device"
            " ORDER BY 1 COLLATE NOCASE, 2, 3"
        )
        for device_id, access, topic in self._all(query):
            topics.setdefault(device_id, []).append(TopicRule(Access(access), topic))
        return topics

    def device_topics(self, device: int) -> list[TopicRule]:
        """Extra topic rules of one device."""
        query = "SELECT access, topic FROM topic WHERE device = ? ORDER BY access, topic"
        return [TopicRule(Access(access), topic) for access, topic in self._all(query, (device,))]

    def add_topic(self, device: int, rule: TopicRule) -> None:
        """Give one device a topic rule; one that is there already stays."""
        self.connection.execute(
            "INSERT INTO topic (device, access, topic) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (device, rule.access.value, rule.topic),
        )

    def remove_topic(self, device: int, rule: TopicRule) -> bool:
        """Take one of a device's own topic rules; ``True`` when it was there."""
        query = "DELETE FROM topic WHERE device = ? AND access = ? AND topic = ?"
        return self.connection.execute(query, (device, rule.access.value, rule.topic)).rowcount > 0

    # -- publication --------------------------------------------------------------------------------------------

    def add_pending(self, certificate: int, bundle: bytes | None) -> None:
        """Note that a certificate's files are to be written."""
        self.connection.execute(
            "INSERT OR REPLACE INTO pending (certificate, bundle) VALUES (?, ?)", (certificate, bundle)
        )

    def pending(self, limit: int, *, after: int = 0) -> list[PendingFiles]:
        """Files that are to be written, oldest certificate first, of those behind row ``after``."""
        rows = self._all(
            f"SELECT p.certificate, coalesce(d.device_id, c.host), c.host IS NOT NULL, c.der, {_KEY}, p.bundle"  # noqa: S608
            " FROM pending p JOIN certificate c ON c.id = p.certificate LEFT JOIN device d ON d.id = c.device"
            " WHERE p.certificate > ? ORDER BY p.certificate LIMIT ?",
            (after, limit),
        )
        return [PendingFiles(row[0], row[1], bool(row[2]), *row[3:]) for row in rows]

    def clear_pending(self, certificates: Iterable[int]) -> None:
        """Note that files were written."""
        self.connection.executemany("DELETE FROM pending WHERE certificate = ?", ((row,) for row in certificates))


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
        parameters |= {"begin": to_epoch(now), "end": to_epoch(chosen.expiring_before)}
    for number, (key, value) in enumerate(chosen.attributes):
        clauses.append(f"json_extract(d.attributes, :path{number}) = :value{number}")
        parameters |= {f"path{number}": "$." + json.dumps(key), f"value{number}": value}
    return "".join(f" AND {clause}" for clause in clauses), parameters


_UNREVOKED = "NOT EXISTS (SELECT 1 FROM revocation r WHERE r.certificate = c.id)"
_VALID = f"EXISTS (SELECT 1 FROM certificate c WHERE c.device = d.id AND c.not_after >= :now AND {_UNREVOKED})"  # noqa: S608
_STATUS_CLAUSES = {
    "active": _VALID,
    "expired": "d.id IN (SELECT c.device FROM certificate c WHERE c.not_after < :now AND"  # noqa: S608 - constants
    f" {_UNREVOKED}) AND NOT {_VALID} AND d.retired_at IS NULL",
    "revoked": "d.id IN (SELECT c.device FROM revocation r JOIN certificate c ON c.id = r.certificate)"  # noqa: S608
    f" AND NOT {_VALID} AND NOT EXISTS (SELECT 1 FROM certificate c WHERE c.device = d.id AND {_UNREVOKED})"
    " AND d.retired_at IS NULL",
    "retired": "d.retired_at IS NOT NULL",
}
