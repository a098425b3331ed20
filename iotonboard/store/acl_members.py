"""Who stands in the ACL."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import filterfalse
from operator import itemgetter
from typing import TYPE_CHECKING

from iotonboard.model import to_epoch
from iotonboard.store.values import can_be_device_id

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from iotonboard.store.store import Store

# A device whose every certificate is revoked; computed from the revocations, which are few: the plus keeps SQLite
# from walking all certificates instead. What an index says is another certificate of a device, has to say it itself:
# a damaged one gives no revoked device its rights back.
_FULLY_REVOKED = """SELECT c.device FROM revocation r JOIN certificate c ON c.id = +r.certificate
    WHERE c.device IS NOT NULL AND r.not_after >= :listed_since AND NOT EXISTS (
        SELECT 1 FROM certificate i CROSS JOIN unrevoked_certificate o ON o.id = +i.id
            WHERE i.device = c.device AND +o.device = c.device AND o.not_after >= :now
                AND o.id NOT IN (SELECT value FROM json_each(:others)))"""
# Devices that the trail says are denied by name alone, whatever became of their rows. A digest that ends so is of none.
_TOLD = f"""SELECT name FROM (SELECT j.key AS name, j.value AS said, max(a.seq)
        FROM audit a, json_each(iif(json_valid(a.detail), a.detail, '{{}}'), '$.rows.lost_device') j
        WHERE a.subject = 'rows' AND instr(a.detail, '"lost_device":') GROUP BY j.key)
    WHERE said NOT GLOB '*>' AND said NOT GLOB '*,null]' AND said <> '' AND name <> '' AND {can_be_device_id("name")}"""
FORGOTTEN = f"{_TOLD} AND name NOT IN (SELECT device_id FROM lost_device)"
# A device whose certificate was revoked that this state has no row of, while it has no valid one of it either.
_LOST = f"""SELECT l.device_id FROM (SELECT device_id FROM lost_device UNION {_TOLD}) l WHERE NOT EXISTS (
    SELECT 1 FROM device d JOIN unrevoked_certificate c ON c.device = d.id
    WHERE d.device_id = l.device_id AND c.not_after >= :now)"""
_FEW = 10_000  # ids that are worth keeping in memory, so that SQLite need not look for each of a million


def permitted_ids(store: Store, now: datetime, others: Collection[int] = ()) -> Iterator[str]:
    """Ids of devices, in their order, but for the retired and those with a revoked certificate and no valid one.

    ``others``: rows of certificates that are not those of the devices that they lead to.
    """
    lost = f"SELECT id FROM device WHERE device_id IN ({_LOST})"
    out = f"SELECT id FROM device WHERE retired_at IS NOT NULL UNION {_FULLY_REVOKED} UNION {lost}"
    times = {"now": to_epoch(now), "listed_since": 0, "others": json.dumps(list(others))}
    every = "SELECT device_id FROM device {} ORDER BY device_id"
    few = store.rows(f"SELECT device_id FROM device WHERE id IN ({out}) LIMIT {_FEW + 1}", times)
    if len(few) > _FEW:  # too many for the memory
        return map(itemgetter(0), store.each_row(every.format(f"WHERE id NOT IN ({out})"), times))
    left_out = frozenset(map(itemgetter(0), few))
    return filterfalse(left_out.__contains__, map(itemgetter(0), store.each_row(every.format(""))))


@dataclass(frozen=True, slots=True)
class Member:
    """A device with a valid certificate. ``first`` and ``valid``: rows of its first, and of its first valid one.

    Rows are numbered in the order in which they were made.
    """

    device_id: str
    first: int
    valid: int


def members(store: Store, now: datetime) -> Iterator[Member]:
    """Every device that is not retired and has a valid certificate."""
    query = """SELECT d.device_id, min(c.id), min(u.id) FROM unrevoked_certificate u JOIN device d ON d.id = u.device
        JOIN certificate c ON c.device = d.id WHERE d.retired_at IS NULL AND u.not_after >= :now
        GROUP BY d.id ORDER BY d.device_id"""
    return store.each(Member, query, {"now": to_epoch(now)})


def denied_ids(store: Store, now: datetime, listed_since: datetime, others: Collection[int] = ()) -> list[str]:
    """Ids of devices with a listed revocation and no valid certificate, also of those that this state has no row of.

    ``others`` as in ``permitted_ids``.
    """
    query = f"SELECT device_id FROM device WHERE id IN ({_FULLY_REVOKED}) UNION {_LOST} ORDER BY 1"
    times = {"now": to_epoch(now), "listed_since": to_epoch(listed_since)}
    return store.records(str, query, {**times, "others": json.dumps(list(others))})


def is_lost_device(store: Store, device_id: str) -> bool:
    """Say whether a device has a revoked certificate that this state has no row of."""
    return store.row("SELECT 1 FROM lost_device WHERE device_id = ?", (device_id,)) is not None
