"""Verbs about devices that exist: ``show``, ``list`` and ``export``."""

from __future__ import annotations

import sys
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from iotonboard.cli import output
from iotonboard.cli.complete import complete_device_id
from iotonboard.cli.session import Session, verb
from iotonboard.errors import UsageError
from iotonboard.model import certificate_json, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from iotonboard.model import CertificateRecord, DeviceRecord
    from iotonboard.store.store import Store

app = typer.Typer()

DeviceArgument = Annotated[str, typer.Argument(metavar="ID", help="The device.", autocompletion=complete_device_id)]


@verb(app, "show", example="iotonboard show press-17 --json")
def show(session: Session, device_id: DeviceArgument) -> int | None:
    """Show one device with all its certificates and deliveries."""
    from iotonboard.store.deliveries import deliveries_of, delivery_values, status_of
    from iotonboard.store.devices import device_named, device_record
    from iotonboard.store.issuers import all_issuers, issuer_of
    from iotonboard.store.topics import device_topics

    with session.open_state() as state:
        device = device_record(state.store, device_id)
        row = device_named(state.store, device_id)
        topics = [f"{rule.access.value}:{rule.topic}" for rule in device_topics(state.store, row)]
        now = state.clock()
        handed = [delivery_values(one, status_of(one, now)) for one in deliveries_of(state.store, row)]
        fates = {one.serial: _fate(state.store, one) for one in device.certificates}
        cas = {row.id: row.fingerprint for row in all_issuers(state.store)}
        issuers = {one.serial: cas[issuer_of(state.store, one.serial)] for one in device.certificates}
    values = {**_device_values(device, now), "topics": topics, "deliveries": handed}
    values["certificates"] = [
        _certificate_values(one, now) | fates[one.serial] | {"ca_fingerprint": issuers[one.serial]}
        for one in device.certificates
    ]
    if session.json:
        output.write_json("show", values)
        return None
    for key in ("device_id", "name", "status", "created_at"):
        output.write_line(f"{key}\t{values[key]}")
    for key, value in device.attributes.items():
        output.write_line(f"{key}\t{value}")
    for topic in topics:
        output.write_line(f"topic\t{topic}")
    rows = []
    for certificate in device.certificates:
        reason = f" ({certificate.revocation.reason.value})" if certificate.revocation else ""
        status, until = _certificate_status(certificate, now), rfc3339(certificate.validity.not_after)
        fate = [
            f"{key.removesuffix('_at').replace('_', ' ')} {moment}"
            for key, moment in fates[certificate.serial].items()
            if moment
        ]
        rows.append(("certificate", certificate.serial.hex, status + reason, f"until {until}", *fate))
    output.write_table([""] * max(map(len, rows), default=0), rows)
    for delivery in handed:
        output.write_line(f"delivery\t{delivery['status']}\t{delivery['created_at']}\t{delivery['path']}")
    return None


def _fate(store: Store, certificate: CertificateRecord) -> dict[str, object]:
    """When a certificate was confirmed, its secrets were purged, and when it ends because it was renewed."""
    from iotonboard.store.certificates import certificate_row
    from iotonboard.store.deliveries import confirmed_at
    from iotonboard.store.overlaps import overlap_end
    from iotonboard.store.secrets import purged_at

    row = certificate_row(store, certificate.serial)
    confirmed, purged = confirmed_at(store, row), purged_at(store, row)
    ends = None if certificate.revocation else overlap_end(store, row)
    return {
        "confirmed_at": rfc3339(confirmed) if confirmed else None,
        "purged_at": rfc3339(purged) if purged else None,
        "revoke_after": rfc3339(ends) if ends else None,
    }


@verb(app, "list", example="iotonboard list --status active --expiring-within 30 --json")
def list_devices(
    session: Session,
    status: Annotated[
        Literal["active", "expired", "on-hold", "revoked", "retired"] | None,
        typer.Option("--status", help="Only devices of this status."),
    ] = None,
    expiring_within: Annotated[
        int | None,
        typer.Option(
            "--expiring-within", min=0, max=36500, metavar="DAYS", help="Only devices that expire within DAYS."
        ),
    ] = None,
    attributes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Only with this attribute.")
    ] = None,
    old_ca: Annotated[
        bool, typer.Option("--old-ca", help="Only devices without a certificate of the CA that issues now.")
    ] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most N devices.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> int | None:
    """List devices in the order of their ids."""
    from iotonboard.enrolment.request import parse_attribute
    from iotonboard.store.devices import DeviceFilter, find_devices

    if old_ca and (status or expiring_within is not None or attributes):
        raise UsageError("--old-ca goes with no other filter", hint="leave the others out")
    if as_csv and session.json:
        raise UsageError("--csv and --json exclude each other", hint="choose one of them")
    pairs = tuple(parse_attribute(text) for text in attributes or ())
    with session.open_state() as state:
        now = state.clock()
        before = now + timedelta(days=expiring_within) if expiring_within is not None else None
        if old_ca:
            devices = _behind(state.store, limit, now)
        else:
            devices = find_devices(state.store, DeviceFilter(status, before, pairs, limit), now)
        if session.json:
            for device in devices:
                output.write_json("list", _device_values(device, now))
        elif as_csv:
            _write_csv(devices, now)
        else:
            output.write_table(("DEVICE", "STATUS", "NOT AFTER", "NAME"), (_columns(device, now) for device in devices))
    return None


def _behind(store: Store, limit: int | None, now: datetime) -> Iterator[DeviceRecord]:
    from iotonboard.store.devices import device_record
    from iotonboard.store.issuers import devices_behind

    return (device_record(store, device_id) for device_id in islice(devices_behind(store, now), limit))


def _columns(device: DeviceRecord, now: datetime) -> tuple[str, str, str, str]:
    not_after = rfc3339(device.certificates[0].validity.not_after) if device.certificates else ""
    return device.device_id, device.status(now), not_after, device.name


def _write_csv(devices: object, now: datetime) -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("device_id", "status", "not_after", "name", "attributes"))
    for device in devices:  # type: ignore[attr-defined]
        attributes = " ".join(f"{key}={value}" for key, value in device.attributes.items())
        writer.writerow([output.cell(value) for value in (*_columns(device, now), attributes)])


def _device_values(device: DeviceRecord, now: datetime) -> dict[str, object]:
    newest = device.certificates[0] if device.certificates else None
    return {
        "device_id": device.device_id,
        "name": device.name,
        "status": device.status(now),
        "created_at": rfc3339(device.created_at),
        "serial": newest.serial.hex if newest else None,
        "not_after": rfc3339(newest.validity.not_after) if newest else None,
        "attributes": dict(device.attributes),
    }


def _certificate_values(certificate: CertificateRecord, now: datetime) -> dict[str, object]:
    revocation = certificate.revocation
    return {
        **certificate_json(certificate.serial, certificate.validity, certificate.fingerprint),
        "status": _certificate_status(certificate, now),
        "revocation_date": rfc3339(revocation.revocation_date) if revocation else None,
        "reason": revocation.reason.value if revocation else None,
    }


def _certificate_status(certificate: CertificateRecord, now: datetime) -> str:
    if certificate.revocation:
        return "revoked"
    return "active" if certificate.validity.not_after >= now else "expired"
