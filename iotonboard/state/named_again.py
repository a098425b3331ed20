"""Devices and certificates whose rows somebody let say who else they are, put back as the certificates name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.errors import PolicyError
from iotonboard.pki.common_name import serial_and_common_name
from iotonboard.store.changed_rows import changed_rows, device_called, put_certificate_back, put_device_ids_back
from iotonboard.store.row_subjects import certificates_of_row

if TYPE_CHECKING:
    from iotonboard.store.changed_rows import ChangedRow
    from iotonboard.store.store import Store


def put_names_back(store: Store, *, with_certificates: bool) -> None:
    """Do so inside the caller's transaction; the trail, which was folded before, proves each name.

    ``with_certificates``: also whose certificates are, where that stands in the way of who is denied.
    """
    devices, certificates = changed_rows(store, "device"), changed_rows(store, "certificate")
    ids = {}
    for row in devices:
        ders = [*certificates_of_row(store, str(row.key)), *(one.values["der"] for one in certificates)]
        for name in {_named(der)[1] for der in ders}:
            if row.was({"device_id": name}):
                ids[row.key] = name
    put_device_ids_back(store, ids)
    if not with_certificates:
        return
    ders_of = {_named(one.values["der"])[0]: one.values["der"] for one in certificates}
    for row in certificates:
        _put_back(store, row, ders_of)


def _put_back(store: Store, row: ChangedRow, ders_of: dict[bytes, bytes]) -> None:
    own = row.values["der"]
    for der in (own, ders_of.get(row.values["serial"], own)):
        name = _named(der)[1]
        for device, host in ((device_called(store, name), None), (None, name)):
            if (device or host) and row.was({"device": device, "host": host, "der": der}):
                put_certificate_back(store, row.key, device, host, der)
                return


def _named(der: object) -> tuple[bytes, str]:
    """Serial number (octets) and commonName; both empty in what is no certificate."""
    try:
        serial, name = serial_and_common_name(der if isinstance(der, bytes) else b"")
    except PolicyError:
        return b"", ""
    return serial.octets, name
