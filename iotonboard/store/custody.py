"""Who has a device's secrets: deliveries, receipts and purges, as the store keeps them.

Erasing overwrites key and salt with zeros of the same length. The row keeps its size, so SQLite writes it in
its place and moves no neighbour: a moved row can leave a copy of itself in the free space of a page, which
secure_delete does not reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.model import SerialNumber, from_epoch, rfc3339, to_epoch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from iotonboard.store.store import Store

_GROUP = 256
_NEWEST = 10_000  # how many rows a check looks at


@dataclass(frozen=True, slots=True)
class Delivery:
    """One handed-over copy. ``token`` is empty for a copy on a disk; ``outcome`` is empty while it is open."""

    row: int
    device_id: str
    serial: SerialNumber
    token: str
    place: str
    sha256: bytes
    created_at: datetime
    expires_at: datetime | None
    is_written: bool
    outcome: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A certificate whose key, salt or bundle may still be kept."""

    row: int
    device_id: str
    serial: SerialNumber


_DELIVERY = (
    "SELECT y.id, d.device_id, c.serial, coalesce(y.token, ''), y.place, y.sha256, y.created_at, y.expires_at,"
    " y.written_at IS NOT NULL, coalesce(y.outcome, '') FROM delivery y JOIN certificate c ON c.id = y.certificate"
    " JOIN device d ON d.id = c.device"
)


def _deliveries(store: Store, tail: str, parameters: tuple[object, ...] = ()) -> Iterator[Delivery]:
    for row in store.connection.execute(f"{_DELIVERY} {tail}", parameters):
        number, device_id, serial, token, place, digest, created, expires, written, outcome = row
        yield Delivery(
            number, device_id, SerialNumber(int.from_bytes(serial)), token, place, digest, from_epoch(created),
            from_epoch(expires) if expires is not None else None, bool(written), outcome,
        )  # fmt: skip


def add_delivery(
    store: Store, certificate: int, *, token: str, place: str, sha256: bytes, now: datetime, expires_at: datetime | None
) -> int:
    """Record a delivery that is about to be written; returns its row."""
    cursor = store.connection.execute(
        "INSERT INTO delivery (certificate, token, place, sha256, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
        (certificate, token or None, place, sha256, to_epoch(now), to_epoch(expires_at) if expires_at else None),
    )
    return int(cursor.lastrowid or 0)


def deliveries(store: Store) -> Iterator[Delivery]:
    """All deliveries, oldest first."""
    return _deliveries(store, "ORDER BY y.id")


def deliveries_of(store: Store, device: int) -> list[Delivery]:
    """All deliveries of one device, newest first."""
    return list(_deliveries(store, "WHERE c.device = ? ORDER BY y.id DESC", (device,)))


def open_deliveries(store: Store) -> list[Delivery]:
    """Deliveries below the outbox that were not cleared away yet, the first to expire first."""
    return list(_deliveries(store, "WHERE y.token IS NOT NULL AND y.erased_at IS NULL ORDER BY y.expires_at"))


def has_expired(store: Store, now: datetime) -> bool:
    """Say whether a delivery below the outbox is past its time; one look into a small index."""
    query = "SELECT 1 FROM delivery WHERE token IS NOT NULL AND erased_at IS NULL AND expires_at <= ? LIMIT 1"
    return store.connection.execute(query, (to_epoch(now),)).fetchone() is not None


def never_fetched(store: Store, now: datetime) -> list[str]:
    """Ids of devices whose latest delivery expired and whose certificate is valid and unconfirmed.

    Of the newest deliveries only, so that the answer stays cheap.
    """
    query = """SELECT d.device_id FROM (SELECT * FROM delivery ORDER BY id DESC LIMIT ?) y
        JOIN certificate c ON c.id = y.certificate JOIN device d ON d.id = c.device
        WHERE y.outcome = 'expired' AND y.id = (SELECT max(id) FROM delivery o WHERE o.certificate = y.certificate)
        AND c.not_after >= ? AND c.id NOT IN (SELECT certificate FROM revocation)
        AND c.id NOT IN (SELECT certificate FROM receipt) ORDER BY d.device_id"""
    return [row[0] for row in store.connection.execute(query, (_NEWEST, to_epoch(now)))]


def set_written(store: Store, delivery: int, now: datetime) -> None:
    """Note that a delivery's file is complete."""
    store.connection.execute("UPDATE delivery SET written_at = ? WHERE id = ?", (to_epoch(now), delivery))


def set_outcome(store: Store, delivery: int, outcome: str) -> None:
    """Close a delivery; what is left of it is cleared away afterwards."""
    store.connection.execute("UPDATE delivery SET outcome = ? WHERE id = ?", (outcome, delivery))


def set_erased(store: Store, delivery: int, now: datetime) -> None:
    """Note that nothing is left of a delivery below the outbox."""
    store.connection.execute("UPDATE delivery SET erased_at = ? WHERE id = ?", (to_epoch(now), delivery))


def close_deliveries(store: Store, certificate: int, outcome: str) -> None:
    """Close every open delivery of a certificate."""
    store.connection.execute(
        "UPDATE delivery SET outcome = ? WHERE certificate = ? AND outcome IS NULL", (outcome, certificate)
    )


def status_of(delivery: Delivery, now: datetime) -> str:
    """One of pending, fetched, expired, copied, failed, purged and interrupted, as it is at ``now``."""
    if delivery.outcome:
        return delivery.outcome
    if not delivery.token:
        return "interrupted"
    return "expired" if delivery.expires_at and delivery.expires_at <= now else "pending"


def delivery_values(delivery: Delivery, status: str) -> dict[str, object]:
    """A delivery as it appears in JSON."""
    return {
        "device_id": delivery.device_id,
        "serial": delivery.serial.hex,
        "status": status,
        "created_at": rfc3339(delivery.created_at),
        "expires_at": rfc3339(delivery.expires_at) if delivery.expires_at else None,
        "path": delivery.place,
        "sha256": delivery.sha256.hex(),
    }


# -- receipts -------------------------------------------------------------------------------------------------------


def add_receipt(store: Store, certificate: int, now: datetime, *, proved: bool) -> bool:
    """Record that a device took a certificate; ``False`` when that was recorded before."""
    cursor = store.connection.execute(
        "INSERT INTO receipt (certificate, confirmed_at, proved) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (certificate, to_epoch(now), int(proved)),
    )
    return cursor.rowcount == 1


def confirmed_at(store: Store, certificate: int) -> datetime | None:
    """When a certificate was confirmed, or ``None``."""
    row = store.connection.execute("SELECT confirmed_at FROM receipt WHERE certificate = ?", (certificate,)).fetchone()
    return from_epoch(row[0]) if row else None


# -- purges ---------------------------------------------------------------------------------------------------------


def purged_at(store: Store, certificate: int) -> datetime | None:
    """When a certificate's key, salt and bundle were erased, or ``None``."""
    row = store.connection.execute("SELECT purged_at FROM purge WHERE certificate = ?", (certificate,)).fetchone()
    return from_epoch(row[0]) if row else None


_KEPT = (
    "SELECT c.id, d.device_id, c.serial FROM certificate c JOIN device d ON d.id = c.device"
    " WHERE {} AND c.id NOT IN (SELECT certificate FROM purge) ORDER BY c.id"
)


def _kept(store: Store, where: str, parameters: tuple[object, ...]) -> list[Kept]:
    rows = store.connection.execute(_KEPT.format(where), parameters)
    return [Kept(row, device_id, SerialNumber(int.from_bytes(serial))) for row, device_id, serial in rows]


def kept_of(store: Store, device: int) -> list[Kept]:
    """Certificates of a device that were not purged."""
    return _kept(store, "c.device = ?", (device,))


def kept_before(store: Store, after: int, before: datetime) -> tuple[int, list[Kept]] | None:
    """The next group of certificates behind row ``after`` that were made at ``before`` or earlier.

    Answers the group's last row, to go on from, and those that were not purged; ``None`` at the end. Rows are in
    the order of their making, so the first one that is younger ends the search.
    """
    query = "SELECT id, created_at FROM certificate WHERE id > ? ORDER BY id LIMIT ?"
    last = after
    for row, created_at in store.connection.execute(query, (after, _GROUP)):
        if created_at > to_epoch(before):
            break
        last = row
    return (last, _kept(store, "c.id > ? AND c.id <= ?", (after, last))) if last > after else None


def kept_confirmed(store: Store, after: int) -> tuple[int, list[Kept]] | None:
    """The next group of certificates whose receipt stands behind row ``after``: as ``kept_before``."""
    query = "SELECT max(id) FROM (SELECT id FROM receipt WHERE id > ? ORDER BY id LIMIT ?)"
    last = store.connection.execute(query, (after, _GROUP)).fetchone()[0]
    if last is None:
        return None
    return last, _kept(store, "c.id IN (SELECT certificate FROM receipt WHERE id > ? AND id <= ?)", (after, last))


def kept_for_nothing(store: Store, ended: datetime) -> list[str]:
    """Ids of devices with a key that have no certificate any more: expired or revoked for good before ``ended``.

    Looks at those that ended last only, so that the answer stays cheap.
    """
    query = """SELECT DISTINCT d.device_id FROM (
            SELECT id FROM (SELECT id FROM certificate WHERE not_after < :ended ORDER BY not_after DESC LIMIT :newest)
            UNION SELECT certificate FROM (SELECT certificate, revocation_date FROM revocation
                WHERE reason <> 'certificateHold' ORDER BY certificate DESC LIMIT :newest)
            WHERE revocation_date < :ended) e
        JOIN certificate c ON c.id = e.id JOIN device d ON d.id = c.device
        WHERE c.key_der IS NOT NULL AND c.id NOT IN (SELECT certificate FROM purge)
        AND NOT EXISTS (SELECT 1 FROM certificate o WHERE o.device = d.id AND o.not_after >= :ended AND NOT EXISTS
            (SELECT 1 FROM revocation r WHERE r.certificate = o.id AND r.reason <> 'certificateHold'))
        ORDER BY d.device_id"""
    return [row[0] for row in store.connection.execute(query, {"ended": to_epoch(ended), "newest": _NEWEST})]


def add_purge(store: Store, certificate: int, now: datetime) -> None:
    """Overwrite a certificate's key, salt and waiting bundle, inside the caller's transaction."""
    execute = store.connection.execute
    execute("INSERT INTO purge (certificate, purged_at) VALUES (?, ?)", (certificate, to_epoch(now)))
    execute(
        "UPDATE certificate SET key_der = zeroblob(length(key_der)), salt = zeroblob(length(salt)) WHERE id = ?",
        (certificate,),
    )
    close_deliveries(store, certificate, "purged")
    execute("UPDATE pending SET bundle = NULL WHERE certificate = ?", (certificate,))
    newest = "SELECT max(o.id) FROM certificate o WHERE o.device = c.device"
    execute(
        "INSERT INTO pending (certificate, bundle) SELECT c.id, NULL FROM certificate c"  # noqa: S608 - constants
        f" WHERE c.id = ? AND c.id = ({newest}) ON CONFLICT DO NOTHING",
        (certificate,),
    )
    store.set_meta("log_holds_secrets", 1)


def scrub_log(store: Store) -> bool:
    """Empty SQLite's log of what was erased; ``False`` when a reader still needs it, then the next command does it."""
    if not store.meta("log_holds_secrets"):
        return True
    with store.transaction():
        if store.connection.execute("SELECT 1 FROM pending LIMIT 1").fetchone() is None:
            # Without WHERE, SQLite zeroes the emptied table's pages, remains of earlier rows included.
            store.connection.execute("DELETE FROM pending")
    with store.without_waiting():  # somebody's long 'list' must not hold this command up
        is_busy = store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    if is_busy:
        return False
    with store.transaction():
        store.set_meta("log_holds_secrets", 0)
    return True
