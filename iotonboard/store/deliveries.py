"""Deliveries: which bundle was handed over where, how that ended, and whether the device confirmed it (receipts)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iotonboard.model import SerialNumber, from_epoch, to_epoch
from iotonboard.store.left_to_do import OPEN_DELIVERIES
from iotonboard.store.values import octets, text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from iotonboard.store.store import Store

_CERTIFICATE = "(SELECT id FROM certificate WHERE serial = ?)"
_NEWEST = 10_000  # how many rows a check looks at


@dataclass(frozen=True, slots=True)
class Delivery:
    """One handed-over copy. ``token`` is empty for a copy on a disk; ``outcome`` is empty while it is open.

    ``is_proved``: whether the device proved that it took the certificate; ``None`` where nobody said that it did.
    """

    id: int
    device_id: str
    serial: SerialNumber
    token: str
    place: str
    sha256: bytes
    created_at: datetime
    expires_at: datetime | None
    is_written: bool
    outcome: str
    is_proved: bool | None

    def status(self, now: datetime) -> str:
        """One of pending, fetched, expired, copied, failed, purged and interrupted, as it is at ``now``."""
        if self.outcome:
            return self.outcome
        if not self.token:
            return "interrupted"
        return "expired" if self.expires_at and self.expires_at <= now else "pending"


_PROVED = "(SELECT proved FROM receipt r WHERE r.certificate = c.id)"
_DELIVERY = (
    "SELECT y.id, d.device_id, c.serial, coalesce(y.token, ''), y.place, y.sha256, y.created_at, y.expires_at,"
    f" y.written_at IS NOT NULL, coalesce(y.outcome, ''), {_PROVED}"
    " FROM delivery y JOIN certificate c ON c.id = y.certificate"
    " JOIN device d ON d.id = c.device"
)


def _delivery(*row: Any) -> Delivery:
    number, device_id, serial, token, place, digest, created, expires, written, outcome, proved = row
    return Delivery(
        number, text(device_id), SerialNumber.from_octets(serial), text(token), text(place), octets(digest),
        from_epoch(created),
        from_epoch(expires) if expires is not None else None, bool(written), text(outcome),
        None if proved is None else bool(proved),
    )  # fmt: skip


def add_delivery(
    store: Store,
    serial: SerialNumber,
    *,
    token: str,
    place: str,
    sha256: bytes,
    now: datetime,
    expires_at: datetime | None,
) -> int:
    """Record a delivery that is about to be written; returns its ``id``.

    ``place`` is for people: octets of it that are no UTF-8 are kept as escapes.
    """
    shown = place.encode("utf-8", "backslashreplace").decode()
    cursor = store.execute(
        "INSERT INTO delivery (certificate, token, place, sha256, created_at, expires_at)"
        f" VALUES ({_CERTIFICATE}, ?, ?, ?, ?, ?)",
        (serial.octets, token or None, shown, sha256, to_epoch(now), to_epoch(expires_at) if expires_at else None),
    )
    store.forget_small(OPEN_DELIVERIES)
    return int(cursor.lastrowid or 0)


def all_deliveries(store: Store) -> Iterator[Delivery]:
    """All deliveries, oldest first."""
    return store.each(_delivery, f"{_DELIVERY} ORDER BY y.id")


def deliveries_of(store: Store, device_id: str) -> list[Delivery]:
    """All deliveries of one device, newest first."""
    return store.records(_delivery, f"{_DELIVERY} WHERE d.device_id = ? ORDER BY y.id DESC", (device_id,))


def open_deliveries(store: Store) -> list[Delivery]:
    """Deliveries below the outbox that were not cleared away yet, the first to expire first."""
    # Whether one is proved is of no matter here, and outbox and repairs do without the table that tells.
    query = f"{_DELIVERY} WHERE y.token IS NOT NULL AND y.erased_at IS NULL ORDER BY y.expires_at"
    return store.records(_delivery, query.replace(_PROVED, "NULL"))


def never_fetched(store: Store, now: datetime) -> list[str]:
    """Ids of devices whose latest delivery expired and whose certificate is valid and unconfirmed.

    Of the newest deliveries only, so that the answer stays cheap.
    """
    query = """SELECT d.device_id FROM (SELECT * FROM delivery ORDER BY id DESC LIMIT ?) y
        JOIN unrevoked_certificate c ON c.id = y.certificate JOIN device d ON d.id = c.device
        WHERE y.outcome = 'expired' AND y.id = (SELECT max(id) FROM delivery o WHERE o.certificate = y.certificate)
        AND c.not_after >= ? AND c.id NOT IN (SELECT certificate FROM receipt) ORDER BY d.device_id"""
    return store.records(str, query, (_NEWEST, to_epoch(now)))


def set_written(store: Store, delivery: int, now: datetime) -> None:
    """Note that a delivery's file is complete."""
    store.execute("UPDATE delivery SET written_at = ? WHERE id = ?", (to_epoch(now), delivery))


def set_unwritten(store: Store, delivery: int) -> None:
    """Note that a delivery's file is to be written again."""
    store.execute("UPDATE delivery SET written_at = NULL WHERE id = ?", (delivery,))


def set_outcome(store: Store, delivery: int, outcome: str) -> None:
    """Close a delivery; what is left of it is cleared away afterwards."""
    store.execute("UPDATE delivery SET outcome = ? WHERE id = ?", (outcome, delivery))


def set_erased(store: Store, delivery: int, now: datetime) -> None:
    """Note that nothing is left of a delivery below the outbox."""
    store.execute("UPDATE delivery SET erased_at = ? WHERE id = ?", (to_epoch(now), delivery))
    store.forget_small(OPEN_DELIVERIES)


def close_deliveries(store: Store, serial: SerialNumber, outcome: str) -> None:
    """Close every open delivery of a certificate."""
    statement = f"UPDATE delivery SET outcome = ? WHERE certificate = {_CERTIFICATE} AND outcome IS NULL"
    store.execute(statement, (outcome, serial.octets))


def add_receipt(store: Store, serial: SerialNumber, now: datetime, *, proved: bool) -> bool:
    """Record that a device took a certificate; ``False`` when that was recorded before, and nothing changed.

    A proof is taken up also where it comes after a receipt without one, whose time stays.
    """
    cursor = store.execute(
        f"INSERT INTO receipt (certificate, confirmed_at, proved) VALUES ({_CERTIFICATE}, ?, ?)"
        " ON CONFLICT DO UPDATE SET proved = 1 WHERE excluded.proved > receipt.proved",
        (serial.octets, to_epoch(now), int(proved)),
    )
    return cursor.rowcount == 1


def is_proved(store: Store, serial: SerialNumber) -> bool:
    """Say whether a device proved that it took a certificate."""
    query = f"SELECT proved FROM receipt WHERE certificate = {_CERTIFICATE}"
    return bool(store.record(int, query, (serial.octets,)))


def confirmed_at(store: Store, serial: SerialNumber) -> datetime | None:
    """When a certificate was confirmed, or ``None``."""
    query = f"SELECT confirmed_at FROM receipt WHERE certificate = {_CERTIFICATE}"
    return store.record(from_epoch, query, (serial.octets,))
