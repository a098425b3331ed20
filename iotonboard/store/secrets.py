"""Which certificates have a key, salt or bundle that is still kept, and how these are erased.

Erasing overwrites key and salt with zeros of the same length. The row keeps its size, so SQLite writes it in
its place and moves no neighbour: a moved row can leave a copy of itself in the free space of a page, which
secure_delete does not reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.model import SerialNumber, from_epoch, to_epoch
from iotonboard.store import deliveries

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.store.store import Store

_GROUP = 256
_NEWEST = 10_000  # how many rows a check looks at


@dataclass(frozen=True, slots=True)
class Kept:
    """A certificate whose key, salt or bundle may still be kept."""

    device_id: str
    serial: SerialNumber


@dataclass(frozen=True, slots=True)
class KeptGroup:
    """Some certificates in the order of their making, or of their receipts; ``last`` is the place to go on from."""

    last: int
    kept: tuple[Kept, ...]


def purged_at(store: Store, serial: SerialNumber) -> datetime | None:
    """When a certificate's key, salt and bundle were erased, or ``None``."""
    query = "SELECT p.purged_at FROM purge p JOIN certificate c ON c.id = p.certificate WHERE c.serial = ?"
    return store.record(from_epoch, query, (serial.octets,))


# -- what is kept ---------------------------------------------------------------------------------------------------


def kept_of(store: Store, device_id: str) -> list[Kept]:
    """Certificates of a device that were not purged."""
    return _kept(store, "d.device_id = ?", (device_id,))


def kept_before(store: Store, after: int, before: datetime) -> KeptGroup | None:
    """The next group of certificates behind row ``after`` that were made at ``before`` or earlier.

    Those of the group that were purged are left out; ``None`` at the end. Rows are in the order of their making, so
    the first one that is younger ends the search.
    """
    query = "SELECT id, created_at FROM certificate WHERE id > ? ORDER BY id LIMIT ?"
    last = after
    for row, created_at in store.records(lambda row, at: (row, from_epoch(at)), query, (after, _GROUP)):
        if created_at > before:
            break
        last = row
    return KeptGroup(last, tuple(_kept(store, "c.id > ? AND c.id <= ?", (after, last)))) if last > after else None


def kept_confirmed(store: Store, after: int) -> KeptGroup | None:
    """The next group of certificates whose receipt stands behind row ``after``: as ``kept_before``."""
    query = "SELECT id FROM receipt WHERE id > ? ORDER BY id LIMIT ?"
    receipts = store.records(int, query, (after, _GROUP))
    if not receipts:
        return None
    where = "c.id IN (SELECT certificate FROM receipt WHERE id > ? AND id <= ?)"
    return KeptGroup(receipts[-1], tuple(_kept(store, where, (after, receipts[-1]))))


def _kept(store: Store, where: str, parameters: tuple[object, ...]) -> list[Kept]:
    query = f"""SELECT d.device_id, c.serial FROM certificate c JOIN device d ON d.id = c.device
        WHERE {where} AND c.id NOT IN (SELECT certificate FROM purge) ORDER BY c.id"""
    return store.records(lambda device_id, serial: Kept(device_id, SerialNumber.from_octets(serial)), query, parameters)


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
        AND NOT EXISTS (SELECT 1 FROM unended_certificate o WHERE o.device = d.id AND o.not_after >= :ended)
        ORDER BY d.device_id"""
    return store.records(str, query, {"ended": to_epoch(ended), "newest": _NEWEST})


# -- erasing --------------------------------------------------------------------------------------------------------


def add_purge(store: Store, serial: SerialNumber, now: datetime) -> None:
    """Overwrite a certificate's key, salt and waiting bundle, inside the caller's transaction.

    Its files are queued to be written anew, without them, when it is the newest of its device.
    """
    row = store.row("SELECT id FROM certificate WHERE serial = ?", (serial.octets,))
    store.execute("INSERT INTO purge (certificate, purged_at) VALUES (?, ?)", (*row, to_epoch(now)))
    store.execute(
        "UPDATE certificate SET key_der = zeroblob(length(key_der)), salt = zeroblob(length(salt)) WHERE id = ?", row
    )
    deliveries.close_deliveries(store, serial, "purged")
    store.execute("UPDATE pending SET bundle = NULL WHERE certificate = ?", row)
    store.execute(
        """INSERT INTO pending (certificate, bundle) SELECT c.id, NULL FROM certificate c WHERE c.id = ?
        AND c.id = (SELECT max(o.id) FROM certificate o WHERE o.device = c.device) ON CONFLICT DO NOTHING""",
        row,
    )
    store.set_meta("log_holds_secrets", 1)


def scrub_log(store: Store) -> bool:
    """Empty SQLite's log of what was erased; ``False`` when that is still to be done, which the next command does.

    A reader may need the log, or files may be waiting to be written whose bundles lie beside what was erased.
    """
    if store.meta("log_holds_secrets") in {None, 0}:
        return True
    with store.transaction():
        if store.row("SELECT 1 FROM pending LIMIT 1") is not None:
            return False
        # Without WHERE, SQLite zeroes the emptied table's pages, remains of earlier rows included.
        store.execute("DELETE FROM pending")
    with store.without_waiting():  # somebody's long 'list' must not hold this command up
        is_busy = store.row("PRAGMA wal_checkpoint(TRUNCATE)")[0]
    if is_busy:
        return False
    with store.transaction():
        store.set_meta("log_holds_secrets", 0)
    return True
