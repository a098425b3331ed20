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


def find_devices(store: Store, chosen: DeviceFilter, now: datetime) -> Iterator[DeviceRecord]:
    """Devices in the order of their ids, without regard to case, in pages of 500."""
    clauses, parameters = _filter_clauses(chosen, now)
    query = f"""SELECT {DEVICE_COLUMNS} FROM device d
        WHERE d.device_id > :after {clauses} ORDER BY d.device_id LIMIT :size"""
    after, left = "", chosen.limit
    while left is None or left > 0:
        size = 500 if left is None else min(500, left)
        rows = store.rows(query, {**parameters, "after": after, "size": size})
        yield from device_records(store, rows)
        if len(rows) < size:
            return
        after = rows[-1][1]
        left = None if left is None else left - len(rows)


def device_ids(store: Store, prefix: str, limit: int) -> list[str]:
    """Ids that begin with ``prefix``, for shell completion."""
    return [
        row[0]
        for row in store.rows(
            "SELECT device_id FROM device WHERE device_id >= ? AND device_id < ? ORDER BY device_id LIMIT ?",
            (prefix, prefix + "\x7f", limit),
        )
    ]


def count_status(store: Store, status: str, now: datetime) -> int:
    """How many devices have a status."""
    query = f"SELECT count(*) FROM device d WHERE {_STATUS_CLAUSES[status]}"
    return int(store.row(query, {"now": to_epoch(now)})[0])


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
_VALID = f"EXISTS (SELECT 1 FROM certificate c WHERE c.device = d.id AND c.not_after >= :now AND {_UNREVOKED})"
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
    "expired": "d.id IN (SELECT c.device FROM certificate c WHERE c.not_after < :now AND"
    f" {_UNREVOKED}) AND NOT {_VALID} AND NOT {_HELD} AND NOT {_REVOKED_LAST} AND d.retired_at IS NULL",
    "revoked": "d.id IN (SELECT c.device FROM revocation r JOIN certificate c ON c.id = r.certificate)"
    f" AND NOT {_VALID} AND NOT {_HELD} AND {_REVOKED_LAST} AND d.retired_at IS NULL",
    "on-hold": "d.id IN (SELECT c.device FROM revocation r JOIN certificate c ON c.id = r.certificate"
    f" WHERE r.reason = 'certificateHold') AND NOT {_VALID} AND {_HELD} AND d.retired_at IS NULL",
    "retired": "d.retired_at IS NOT NULL",
}
