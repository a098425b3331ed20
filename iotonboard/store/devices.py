"""Devices, with their certificates. Outside of the store a device is named by its id."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import ConflictError, NotFoundError, quoted
from iotonboard.model import CertificateRecord, DeviceId, DeviceRecord, from_epoch, to_epoch
from iotonboard.store.certificates import RECORD_COLUMNS, certificate_record
from iotonboard.store.values import text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from iotonboard.store.store import Store

_attributes_text = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device without its certificates; ``device_id`` as it was spelled when it was registered."""

    device_id: DeviceId
    is_retired: bool


def find_device(store: Store, device_id: str, *, by_index: bool = True) -> DeviceRow | None:
    """A device, found without regard to case; one is retired where its row or the audit trail says so.

    Without ``by_index`` the table is read through.
    """
    scan = "" if by_index else "NOT INDEXED"
    return store.record(
        device_row, f"SELECT {ROW_COLUMNS} FROM device d {scan} WHERE d.device_id = ?", (str(device_id),)
    )


# The columns of ``device_row``, of a device ``d``.
ROW_COLUMNS = """d.device_id, d.retired_at IS NOT NULL
    OR EXISTS (SELECT 1 FROM audit a WHERE a.subject = d.device_id AND a.detail = '{"retired":true}')"""


def device_row(spelled: str, is_retired: int) -> DeviceRow:
    """A device as its row and the trail have it."""
    return DeviceRow(DeviceId.adopted(spelled), bool(is_retired))


def device_named(store: Store, device_id: str) -> DeviceRow:
    """A device whose id is spelled exactly so.

    Raises:
        NotFoundError: there is none; the hint names the right spelling when only the case differs.
    """
    found = find_device(store, device_id)
    if found is None or found.device_id != device_id:
        spelled = f"did you mean {str(found.device_id)!r}?" if found else "'iotonboard list' shows all devices"
        raise NotFoundError(f"there is no device {quoted(str(device_id))}", hint=spelled)
    return found


def refuse_retired(device: DeviceRow) -> None:
    """Refuse to go on with a device that was retired: its id is never given again.

    Raises:
        ConflictError: it was retired.
    """
    if device.is_retired:
        raise ConflictError(
            f"device {str(device.device_id)!r} was retired, and its id is never given again", hint="choose another id"
        )


def add_device(
    store: Store,
    device_id: DeviceId,
    name: str,
    attributes: Mapping[str, str],
    now: datetime,
    *,
    is_adopted: bool = False,
) -> None:
    """Record a device; one that comes from another program (``is_adopted``) keeps its name.

    Raises:
        PolicyError: the id of a new one is not in the grammar.
        ConflictError: the id exists, in this or another case.
    """
    device_id = device_id if is_adopted else DeviceId(device_id)
    try:
        store.execute(
            "INSERT INTO device (device_id, name, attributes, created_at) VALUES (?, ?, ?, ?)",
            (str(device_id), name, _attributes_text(dict(attributes)) if attributes else "{}", to_epoch(now)),
        )
    except ConflictError:
        raise ConflictError(
            f"device {str(device_id)!r} exists already",
            hint="'--if-exists skip' leaves it, '--if-exists reissue' makes a new certificate",
        ) from None


def set_attributes(store: Store, device_id: str, attributes: Mapping[str, str]) -> None:
    """Give a device that is there its attributes anew, inside the caller's transaction."""
    text = _attributes_text(dict(attributes))
    store.execute("UPDATE device SET attributes = ? WHERE device_id = ?", (text, str(device_id)))


def set_retired(store: Store, device_id: str, now: datetime, *, by_index: bool = True) -> None:
    """Mark a device as retired, inside the caller's transaction; ``by_index`` as for ``find_device``."""
    scan = "" if by_index else "NOT INDEXED"
    store.execute(f"UPDATE device {scan} SET retired_at = ? WHERE device_id = ?", (to_epoch(now), device_id))


def count_devices(store: Store) -> int:
    """How many devices there are."""
    return int(store.row("SELECT count(*) FROM device")[0])


# -- records --------------------------------------------------------------------------------------------------------


def device_record(store: Store, device_id: str) -> DeviceRecord:
    """One device with all its certificates, newest first.

    Raises:
        NotFoundError: there is none.
    """
    device_named(store, device_id)
    query = f"SELECT {DEVICE_COLUMNS} FROM device d WHERE d.device_id = ?"
    return device_records(store, store.rows(query, (device_id,)))[0]


DEVICE_COLUMNS = "d.id, d.device_id, d.name, d.attributes, d.created_at, d.retired_at"


def device_records(store: Store, rows: Sequence[tuple[int, str, str, str, int, int | None]]) -> list[DeviceRecord]:
    """The records of rows with the ``DEVICE_COLUMNS``, in their order."""
    marks = ",".join("?" * len(rows))
    query = f"""SELECT c.device, {RECORD_COLUMNS} FROM certificate c LEFT JOIN revocation r ON r.certificate = c.id
        WHERE c.device IN ({marks}) ORDER BY c.id DESC"""
    certificates: dict[int, list[CertificateRecord]] = {}
    for device, certificate in store.each(
        lambda device, *row: (device, certificate_record(*row)), query, [row[0] for row in rows]
    ):
        certificates.setdefault(device, []).append(certificate)
    return [store.make_record(_device_record, (tuple(certificates.get(row[0], ())), *row)) for row in rows]


def _device_record(
    certificates: tuple[CertificateRecord, ...],
    _row: int, device_id: str, name: str, attributes: str, created_at: int, retired_at: int | None,
) -> DeviceRecord:  # fmt: skip
    return DeviceRecord(
        DeviceId.adopted(device_id), text(name), _attributes(attributes), from_epoch(created_at), certificates,
        None if retired_at is None else from_epoch(retired_at),
    )  # fmt: skip


def _attributes(stored: str) -> dict[str, str]:
    attributes = json.loads(stored)
    if not isinstance(attributes, dict):
        raise TypeError("attributes are no JSON object")
    return {name: text(value) for name, value in attributes.items()}
