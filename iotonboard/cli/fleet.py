"""Verbs about devices that exist: ``show``, ``list`` and ``export``."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from iotonboard.cli import output
from iotonboard.cli.complete import complete_device_id, complete_format
from iotonboard.cli.session import Session, verb
from iotonboard.errors import UsageError
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.model import CertificateRecord, DeviceRecord

app = typer.Typer()

DeviceArgument = Annotated[str, typer.Argument(metavar="ID", help="The device.", autocompletion=complete_device_id)]


@verb(app, "show", example="iotonboard show press-17 --json")
def show(session: Session, device_id: DeviceArgument) -> int | None:
    """Show one device with all its certificates."""
    with session.open_state() as state:
        device = state.store.device(device_id)
        row = state.store.device_named(device_id)
        topics = [f"{rule.access.value}:{rule.topic}" for rule in state.store.device_topics(row)]
        now = state.clock()
    values = {**_device_values(device, now), "topics": topics}
    values["certificates"] = [_certificate_values(certificate, now) for certificate in device.certificates]
    if session.json:
        output.write_json("show", values)
        return None
    for key in ("device_id", "name", "status", "created_at"):
        output.write_line(f"{key}\t{values[key]}")
    for key, value in device.attributes.items():
        output.write_line(f"{key}\t{value}")
    for topic in topics:
        output.write_line(f"topic\t{topic}")
    for certificate in device.certificates:
        state_text = f"{_certificate_status(certificate, now)}\tuntil {rfc3339(certificate.validity.not_after)}"
        output.write_line(f"certificate\t{certificate.serial.hex}\t{state_text}")
    return None


@verb(app, "list", example="iotonboard list --status active --expiring-within 30 --json")
def list_devices(
    session: Session,
    status: Annotated[
        Literal["active", "revoked", "expired"] | None,
        typer.Option("--status", help="Only devices of this status."),
    ] = None,
    expiring_within: Annotated[
        int | None,
        typer.Option("--expiring-within", min=0, metavar="DAYS", help="Only devices that expire within DAYS."),
    ] = None,
    attributes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Only with this attribute.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most N devices.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> int | None:
    """List devices in the order of their ids."""
    from iotonboard.devicelist import parse_attribute
    from iotonboard.store import DeviceFilter

    if as_csv and session.json:
        raise UsageError("--csv and --json exclude each other", hint="choose one of them")
    pairs = tuple(parse_attribute(text) for text in attributes or ())
    with session.open_state() as state:
        now = state.clock()
        before = now + timedelta(days=expiring_within) if expiring_within is not None else None
        devices = state.store.devices(DeviceFilter(status, before, pairs, limit), now)
        if session.json:
            for device in devices:
                output.write_json("list", _device_values(device, now))
        elif as_csv:
            _write_csv(devices, now)
        else:
            output.write_table(("DEVICE", "STATUS", "NOT AFTER", "NAME"), (_columns(device, now) for device in devices))
    return None


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
        "serial": certificate.serial.hex,
        "status": _certificate_status(certificate, now),
        "not_before": rfc3339(certificate.validity.not_before),
        "not_after": rfc3339(certificate.validity.not_after),
        "fingerprint": certificate.fingerprint,
        "revocation_date": rfc3339(revocation.revocation_date) if revocation else None,
        "reason": revocation.reason.value if revocation else None,
    }


def _certificate_status(certificate: CertificateRecord, now: datetime) -> str:
    if certificate.revocation:
        return "revoked"
    return "active" if certificate.validity.not_after >= now else "expired"


@verb(
    app,
    "export",
    example="iotonboard export press-17 --format pem --out ./press-17 --passphrase-file ca.pass",
)
def export(
    session: Session,
    device_id: DeviceArgument,
    format_name: Annotated[
        str,
        typer.Option("--format", help="zip, pem, ...; 'zip' is encrypted.", autocompletion=complete_format),
    ] = "zip",
    out: Annotated[str | None, typer.Option("--out", metavar="PATH", help="File or folder; '-' is stdout.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> int | None:
    """Write a device's credentials in a format. Formats other than zip and p12 hold the key in the clear."""
    from iotonboard.commands import export as command
    from iotonboard.formats.table import find_format

    chosen = find_format(format_name)
    path = out or (f"{device_id}.{format_name}" if chosen.single_file else device_id)
    if path == "-":
        _refuse_stdout(session, binary=chosen.binary, single_file=chosen.single_file)
    with session.open_state() as state:
        authority = session.unlock(state)
        files, password = command.encode(state, authority, device_id, format_name)
        if path == "-":
            command.record_export(state, device_id, format_name, "stdout")
            sys.stdout.buffer.write(files[0].data)
            sys.stdout.buffer.flush()
            return None
        targets = command.prepare_targets(files, path, is_folder=not chosen.single_file, force=force)
        command.record_export(state, device_id, format_name, os.path.abspath(path))
        command.write_files(targets, force=force)
    shown = password if chosen.needs_password else None
    values = {"device_id": device_id, "format": format_name, "path": path, "password": shown}
    session.result(values, f"{device_id}\t{format_name}\t{path}" + (f"\tpassword {shown}" if shown else ""))
    if chosen.plain_key:
        session.message("the key in there is not encrypted: delete it when the device has it")
    return None


def _refuse_stdout(session: Session, *, binary: bool, single_file: bool) -> None:
    if session.json:
        raise UsageError("--json and --out - would mix on stdout", hint="write to a file")
    if not single_file:
        raise UsageError("this format is a folder and does not fit stdout", hint="name a folder with --out")
    if binary and sys.stdout.isatty():
        raise UsageError("this format is binary and would garble the terminal", hint="write to a file or a pipe")
