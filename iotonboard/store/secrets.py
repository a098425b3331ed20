"""Which certificates have a key, salt or bundle that is still kept, and how these are erased.

Erasing overwrites key and salt with zeros of the same length. The row keeps its size, so SQLite writes it in
its place and moves no neighbour: a moved row can leave a copy of itself in the free space of a page, which
secure_delete does not reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.model import SerialNumber, from_epoch, to_epoch
from iotonboard.store.deliveries import close_deliveries

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.store.store import Store

_GROUP = 256
_NEWEST = 10_000  # how many rows a check looks at


@dataclass(frozen=True, slots=True)
class Kept:
    """A certificate whose key, salt or bundle may still be kept."""

    row: int
    device_id: str
    serial: SerialNumber


def purged_at(store: Store, certificate: int) -> datetime | None:
    """When a certificate's key, salt and bundle were erased, or ``None``."""
    row = store.row("SELECT purged_at FROM purge WHERE certificate = ?", (certificate,))
    return from_epoch(row[0]) if row else None


_KEPT = (
    "SELECT c.id, d.device_id, c.serial FROM certificate c JOIN device d ON d.id = c.device"
    " WHERE {} AND c.id NOT IN (SELECT certificate FROM purge) ORDER BY c.id"
)


def _kept(store: Store, where: str, parameters: tuple[object, ...]) -> list[Kept]:
    rows = store.rows(_KEPT.format(where), parameters)
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
    for row, created_at in store.each_row(query, (after, _GROUP)):
        if created_at > to_epoch(before):
            break
        last = row
    return (last, _kept(store, "c.id > ? AND c.id <= ?", (after, last))) if last > after else None


def kept_confirmed(store: Store, after: int) -> tuple[int, list[Kept]] | None:
    """The next group of certificates whose receipt stands behind row ``after``: as ``kept_before``."""
    query = "SELECT max(id) FROM (SELECT id FROM receipt WHERE id > ? ORDER BY id LIMIT ?)"
    last = store.row(query, (after, _GROUP))[0]
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
    return [row[0] for row in store.each_row(query, {"ended": to_epoch(ended), "newest": _NEWEST})]


def add_purge(store: Store, certificate: int, now: datetime) -> None:
    """Overwrite a certificate's key, salt and waiting bundle, inside the caller's transaction."""
    execute = store.execute
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
        if store.row("SELECT 1 FROM pending LIMIT 1") is None:
            # Without WHERE, SQLite zeroes the emptied table's pages, remains of earlier rows included.
            store.execute("DELETE FROM pending")
    with store.without_waiting():  # somebody's long 'list' must not hold this command up
        is_busy = store.row("PRAGMA wal_checkpoint(TRUNCATE)")[0]
    if is_busy:
        return False
    with store.transaction():
        store.set_meta("log_holds_secrets", 0)
    return True
