"""What brokers' machines said is in place there: the newest receipt of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.model import SerialNumber, from_epoch, to_epoch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from iotonboard.store.store import Store

_COLUMNS = "broker, path, time, counter, acl_change, is_read"
# On no list yet, or on none that a broker has whose list has this number; 0 for a broker without a list.
_MISSING = "r.issuer = :issuer AND (r.listed IS NULL OR r.listed > :number) AND r.not_after >= :now"


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """A broker's last receipt. ``numbers``: of the list in place there, by the row of its CA."""

    broker: str
    path: str
    time: datetime
    counter: int
    acl_change: int
    is_read: bool
    numbers: Mapping[int, int]

    @property
    def versions(self) -> dict[str, int]:
        """Everything in it that only rises at a broker that goes forwards."""
        return {"counter": self.counter, "acl": self.acl_change} | {
            f"crl {issuer}": of for issuer, of in self.numbers.items()
        }


@dataclass(frozen=True, slots=True)
class MissingRevocation:
    """A revocation that is not in force somewhere."""

    serial: SerialNumber
    device_id: str
    revocation_date: datetime


def receipts(store: Store) -> list[ReceiptRow]:
    """The newest receipt of each broker, by name and folder."""
    found = store.records(lambda *row: row, f"SELECT id, {_COLUMNS} FROM broker_receipt ORDER BY broker, path")
    return [
        ReceiptRow(broker, path, from_epoch(time), counter, acl_change, bool(is_read), _numbers(store, row))
        for row, broker, path, time, counter, acl_change, is_read in found
    ]


def _numbers(store: Store, receipt: int) -> dict[int, int]:
    query = "SELECT issuer, number FROM broker_receipt_crl WHERE receipt = ?"
    return dict(store.records(lambda *row: row, query, (receipt,)))


def receipt_from(store: Store, broker: str, path: str) -> ReceiptRow | None:
    """The last receipt of one broker's folder."""
    return next((one for one in receipts(store) if (one.broker, one.path) == (broker, path)), None)


def set_receipt(store: Store, row: ReceiptRow) -> None:
    """Keep a broker's receipt in place of the one before, inside the caller's transaction."""
    where, place = "WHERE broker = ? AND path = ?", (row.broker, row.path)
    store.execute(f"DELETE FROM broker_receipt_crl WHERE receipt IN (SELECT id FROM broker_receipt {where})", place)
    store.execute(f"DELETE FROM broker_receipt {where}", place)
    values = (*place, to_epoch(row.time), row.counter, row.acl_change, int(row.is_read))
    store.execute(f"INSERT INTO broker_receipt ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", values)
    for issuer, number in row.numbers.items():
        statement = (
            f"INSERT INTO broker_receipt_crl (receipt, issuer, number) SELECT id, ?, ? FROM broker_receipt {where}"
        )
        store.execute(statement, (issuer, number, *place))


def listed_number(store: Store, serial: SerialNumber) -> int | None:
    """Number of the first list of its CA that has a revocation; ``None`` when none has it, or nobody noted which."""
    query = "SELECT r.listed FROM certificate c JOIN revocation r ON r.certificate = c.id WHERE c.serial = ?"
    return store.record(lambda number: number, query, (serial.octets,))


def count_missing(store: Store, issuer: int, number: int, now: datetime) -> int:
    """How many revocations of unexpired certificates a broker does not know whose list of the CA has this number."""
    query = f"SELECT count(*) FROM revocation r WHERE {_MISSING}"
    return store.record(int, query, {"issuer": issuer, "number": number, "now": to_epoch(now)}) or 0


def newest_missing(store: Store, issuer: int, number: int, now: datetime) -> MissingRevocation | None:
    """The last of these revocations."""
    query = f"""SELECT c.serial, coalesce(d.device_id, c.host, ''), r.revocation_date FROM revocation r
        JOIN certificate c ON c.id = r.certificate LEFT JOIN device d ON d.id = c.device
        WHERE {_MISSING} ORDER BY r.revocation_date DESC, r.certificate DESC LIMIT 1"""
    return store.record(
        lambda serial, name, date: MissingRevocation(SerialNumber.from_octets(serial), name, from_epoch(date)),
        query,
        {"issuer": issuer, "number": number, "now": to_epoch(now)},
    )
