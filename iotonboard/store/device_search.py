"""Which devices ``list``, ``expiring`` and ``renew`` take: by status, expiry and attributes; and how many there are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.model import to_epoch
from iotonboard.store.devices import DEVICE_COLUMNS, device_records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from iotonboard.model import DeviceRecord
    from iotonboard.store.store import Store


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


_PAGE = 500
# What DeviceRecord.status says, of a device_status d.
_STATUS = """CASE WHEN d.retired_at IS NOT NULL THEN 'retired' WHEN d.valid_until >= :now THEN 'active'
    WHEN d.held_until >= :now THEN 'on-hold' WHEN d.is_newest_unrevoked THEN 'expired' ELSE 'revoked' END"""
# The devices that can have a status, where they are few among many: an index or a small table leads to them.
_CANDIDATES = {
    "expired": "SELECT device FROM unrevoked_certificate WHERE not_after < :now",
    "revoked": "SELECT c.device FROM revocation r JOIN certificate c ON c.id = r.certificate",
    "on-hold": """SELECT c.device FROM revocation r JOIN certificate c ON c.id = r.certificate
        WHERE r.reason = 'certificateHold'""",
    "retired": "SELECT id FROM device WHERE retired_at IS NOT NULL",
}
_EXPIRING = "SELECT device FROM certificate WHERE not_after >= :begin AND not_after < :end"


def find_devices(store: Store, chosen: DeviceFilter, now: datetime) -> Iterator[DeviceRecord]:
    """Devices in the order of their ids, without regard to case, in pages of 500."""
    clauses, parameters = _clauses(chosen, now)
    if any(clause.startswith("d.id IN") for clause in clauses):
        yield from _few_of_many(store, clauses, parameters, chosen.limit)
    else:
        yield from _page_by_page(store, clauses, parameters, chosen.limit)


def _page_by_page(
    store: Store, clauses: list[str], parameters: dict[str, object], limit: int | None
) -> Iterator[DeviceRecord]:
    """Walk along the ids: the next page begins behind the last one, and no reader keeps a writer waiting."""
    query = f"""SELECT {DEVICE_COLUMNS} FROM device_status d WHERE {" AND ".join(["d.device_id > :after", *clauses])}
        ORDER BY d.device_id LIMIT :size"""
    after, left = "", limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(_PAGE, left)
        rows = store.rows(query, {**parameters, "after": after, "size": size})
        yield from device_records(store, rows)
        if len(rows) < size:
            return
        after = rows[-1][1]
        left = None if left is None else left - len(rows)


def _few_of_many(
    store: Store, clauses: list[str], parameters: dict[str, object], limit: int | None
) -> Iterator[DeviceRecord]:
    """Find all row numbers at once, and then read page by page."""
    query = f"""SELECT d.id FROM device_status d WHERE {" AND ".join(clauses)} ORDER BY d.device_id LIMIT :limit"""
    numbers = store.records(int, query, {**parameters, "limit": -1 if limit is None else limit})
    for start in range(0, len(numbers), _PAGE):
        page = numbers[start : start + _PAGE]
        marks = ", ".join("?" * len(page))
        rows = store.rows(f"SELECT {DEVICE_COLUMNS} FROM device d WHERE d.id IN ({marks}) ORDER BY d.device_id", page)
        yield from device_records(store, rows)


def _clauses(chosen: DeviceFilter, now: datetime) -> tuple[list[str], dict[str, object]]:
    clauses: list[str] = []
    parameters: dict[str, object] = {"now": to_epoch(now)}
    if chosen.status is not None:
        clauses += [f"d.id IN ({_CANDIDATES[chosen.status]})"] if chosen.status in _CANDIDATES else []
        clauses.append(f"{_STATUS} = :status")
        parameters["status"] = chosen.status
    if chosen.expiring_before is not None:
        clauses += [f"d.id IN ({_EXPIRING})", "d.valid_until >= :begin", "d.valid_until < :end"]
        clauses.append(f"{_STATUS} IN ('active', 'expired')")
        parameters |= {"begin": to_epoch(chosen.expired_since or now), "end": to_epoch(chosen.expiring_before)}
    for number, (key, value) in enumerate(chosen.attributes):
        clauses.append(f"json_extract(d.attributes, :path{number}) = :value{number}")
        parameters |= {f"path{number}": "$." + json.dumps(key), f"value{number}": value}
    return clauses, parameters


def count_statuses(store: Store, now: datetime) -> dict[str, int]:
    """How many devices have each status; a status that none has is left out."""
    query = f"SELECT {_STATUS}, count(*) FROM device_status d GROUP BY 1"
    return dict(store.rows(query, {"now": to_epoch(now)}))


def device_ids(store: Store, prefix: str, limit: int) -> list[str]:
    """Ids that begin with ``prefix``, for shell completion."""
    query = "SELECT device_id FROM device WHERE device_id >= ? AND device_id < ? ORDER BY device_id LIMIT ?"
    return store.records(str, query, (prefix, prefix + "\x7f", limit))
