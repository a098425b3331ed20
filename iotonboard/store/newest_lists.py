"""The CRLs that were signed last: their number, dates and octets, without a record of each."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING

from iotonboard.model import from_epoch, to_epoch
from iotonboard.store.values import number as whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from iotonboard.store.store import Store

OF_NEWEST = "generation = (SELECT max(generation) FROM crl)"
NEWEST = f"SELECT generation, issuer, this_update FROM crl WHERE {OF_NEWEST}"
IN_ORDER = "ORDER BY issuer DESC, number"  # that of the CA that issues first, and of its lists the one in force


def note_generation(store: Store, number: int, ends: datetime) -> None:
    """Note the newest generation, and when the first CA is without a list, as single values: each command looks."""
    store.set_meta("crl_generation", number)
    store.set_meta("crl_ends", to_epoch(ends))


def end_of_lists(store: Store) -> datetime | None:
    """When the first CA of the newest generation is without a list; ``None`` before the first one."""
    query = f"SELECT min(ends) FROM (SELECT max(next_update) AS ends FROM crl WHERE {OF_NEWEST} GROUP BY issuer)"
    row = store.row(query)
    return None if row is None or not isinstance(row[0], int) else from_epoch(row[0])


def newest_generation(store: Store) -> int:
    """Number of the generation that ``crl.pem`` holds; 0 before the first one."""
    newest = store.small(NEWEST)
    return store.make_record(whole, newest[0][:1]) if newest else 0


def newest_update(store: Store, now: datetime) -> datetime | None:
    """The latest thisUpdate that is not in the future, of the CRLs of the newest generation."""
    return max(updates_in_force(store, now), default=None)


def updates_in_force(store: Store, now: datetime) -> list[datetime]:
    """The thisUpdate of each issuer's list that is in force now, of the newest generation; none of one without any."""
    begun: dict[object, int] = {}
    for _, issuer, update in store.small(NEWEST):
        if isinstance(update, int) and update <= to_epoch(now):
            begun[issuer] = max(update, begun.get(issuer, update))
    return [store.make_record(from_epoch, (update,)) for update in begun.values()]


def earliest_update(store: Store) -> datetime | None:
    """The earliest thisUpdate of the newest generation; ``None`` before the first one."""
    updates = [update for *_, update in store.small(NEWEST) if isinstance(update, int)]
    return store.make_record(from_epoch, (min(updates),)) if updates else None


def generation_ders(store: Store) -> Iterator[bytes]:
    """The octets of the newest generation's CRLs, one at a time: a calendar of large ones fills the memory."""
    # By their rows: lists that are sorted are copied with their octets.
    rows = f"SELECT id FROM crl WHERE {OF_NEWEST} AND der IS NOT NULL {IN_ORDER}"
    query = f"SELECT (SELECT der FROM crl WHERE id = newest.id) FROM ({rows}) newest"
    return map(itemgetter(0), store.each_row(query))
