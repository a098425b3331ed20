"""Devices, with their certificates."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import ConflictError, NotFoundError
from iotonboard.model import CertificateRecord, DeviceId, DeviceRecord, from_epoch, to_epoch
from iotonboard.store.certificates import _CERTIFICATE, _certificate_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from iotonboard.store.store import Store

_attributes_text = json.JSONEncoder(ensure_ascii=False).encode


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


def find_device(store: Store, device_id: str) -> tuple[int, str] | None:
    """Row number and exact spelling of a device, found without regard to case."""
    row = store.row("SELECT id, device_id FROM device WHERE device_id = ?", (str(device_id),))
    return (row[0], row[1]) if row else None


def device_named(store: Store, device_id: str) -> int:
    """Row number of a device.

    Raises:
        NotFoundError: there is none; the hint names the right spelling when only the case differs.
    """
    found = find_device(store, device_id)
    if found is None or found[1] != device_id:
        spelled = f"did you mean {found[1]!r}?" if found else "'iotonboard list' shows all devices"
        raise NotFoundError(f"there is no device {str(device_id)[:80]!r}", hint=spelled)
    return found[0]


def add_device(store: Store, device_id: DeviceId, name: str, attributes: Mapping[str, str], now: datetime) -> int:
    """Record a device and return its row number.

    Raises:
        ConflictError: the id exists, in this or another case.
    """
    try:
        cursor = store.execute(
            "INSERT INTO device (device_id, name, attributes, created_at) VALUES (?, ?, ?, ?)",
            (str(device_id), name, _attributes_text(dict(attributes)) if attributes else "{}", to_epoch(now)),
        )
    except ConflictError:
        raise ConflictError(
            f"device {str(device_id)!r} exists already",
            hint="'--if-exists skip' leaves it, '--if-exists reissue' makes a new certificate",
        ) from None
    return int(cursor.lastrowid or 0)


def refuse_retired(store: Store, device: int, device_id: str) -> None:
    """Refuse to go on with a device that was retired: its id is never given again.

    Raises:
        ConflictError: it was retired.
    """
    row = store.row("SELECT retired_at FROM device WHERE id = ?", (device,))
    if row and row[0] is not None:
        raise ConflictError(
            f"device {str(device_id)!r} was retired, and its id is never given again", hint="choose another id"
        )


def is_retired(store: Store, device: int) -> bool:
    """Say whether a device was retired."""
    row = store.row("SELECT retired_at IS NOT NULL FROM device WHERE id = ?", (device,))
    return bool(row[0])


def set_retired(store: Store, device: int, now: datetime) -> None:
    """Mark a device as retired, inside the caller's transaction."""
    store.execute("UPDATE device SET retired_at = ? WHERE id = ?", (to_epoch(now), device))


def note_seen(store: Store, device_id: str, line: int) -> int | None:
    """Remember an id of the list being read; the line where it stood before, or ``None``.

    The memory is a temporary table, which SQLite moves to disk when it grows.
    """
    store.execute(
        "CREATE TEMP TABLE IF NOT EXISTS seen (device_id TEXT PRIMARY KEY COLLATE NOCASE, line INTEGER) WITHOUT ROWID"
    )
    row = store.row("SELECT line FROM seen WHERE device_id = ?", (str(device_id),))
    if row is None:
        store.execute("INSERT INTO seen VALUES (?, ?)", (str(device_id), line))
    return row[0] if row else None


def device_record(store: Store, device_id: str) -> DeviceRecord:
    """One device with all its certificates, newest first.

    Raises:
        NotFoundError: there is none.
    """
    row = device_named(store, device_id)
    return _device_records(
        store,
        store.rows("SELECT id, device_id, name, attributes, created_at, retired_at FROM device WHERE id = ?", (row,)),
    )[0]


def _device_records(store: Store, rows: Sequence[tuple[int, str, str, str, int, int | None]]) -> list[DeviceRecord]:
    marks = ",".join("?" * len(rows))
    certificates: dict[int, list[CertificateRecord]] = {}
    query = f"SELECT c.device, {_CERTIFICATE} WHERE c.device IN ({marks}) ORDER BY c.id DESC"
    for device, *certificate in store.rows(query, [row[0] for row in rows]):
        certificates.setdefault(device, []).append(_certificate_record(*certificate))
    return [
        DeviceRecord(
            DeviceId(device_id), name, json.loads(attributes), from_epoch(created_at),
            tuple(certificates.get(row, ())), None if retired_at is None else from_epoch(retired_at),
        )
        for row, device_id, name, attributes, created_at, retired_at in rows
    ]  # fmt: skip


def find_devices(store: Store, chosen: DeviceFilter, now: datetime) -> Iterator[DeviceRecord]:
    """Devices in the order of their ids, without regard to case, in pages of 500."""
    clauses, parameters = _filter_clauses(chosen, now)
    after, left = "", chosen.limit
    while left is None or left > 0:
        size = 500 if left is None else min(500, left)
        rows = store.rows(
            "SELECT d.id, d.device_id, d.name, d.attributes, d.created_at, d.retired_at FROM device d"  # noqa: S608 - constants
            f" WHERE d.device_id > :after {clauses} ORDER BY d.device_id LIMIT :size",
            {**parameters, "after": after, "size": size},
        )
        yield from _device_records(store, rows)
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


def count_devices(store: Store) -> int:
    """How many devices there are."""
    return int(store.row("SELECT count(*) FROM device")[0])


def count_status(store: Store, status: str, now: datetime) -> int:
    """How many devices have a status."""
    query = f"SELECT count(*) FROM device d WHERE {_STATUS_CLAUSES[status]}"  # noqa: S608 - constants
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
_VALID = f"EXISTS (SELECT 1 FROM certificate c WHERE c.device = d.id AND c.not_after >= :now AND {_UNREVOKED})"  # noqa: S608
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
    "expired": "d.id IN (SELECT c.device FROM certificate c WHERE c.not_after < :now AND"  # noqa: S608 - constants
    f" {_UNREVOKED}) AND NOT {_VALID} AND NOT {_HELD} AND NOT {_REVOKED_LAST} AND d.retired_at IS NULL",
    "revoked": "d.id IN (SELECT c.device FROM revocation r JOIN certificate c ON c.id = r.certificate)"  # noqa: S608
    f" AND NOT {_VALID} AND NOT {_HELD} AND {_REVOKED_LAST} AND d.retired_at IS NULL",
    "on-hold": "d.id IN (SELECT c.device FROM revocation r JOIN certificate c ON c.id = r.certificate"  # noqa: S608
    f" WHERE r.reason = 'certificateHold') AND NOT {_VALID} AND {_HELD} AND d.retired_at IS NULL",
    "retired": "d.retired_at IS NOT NULL",
}
