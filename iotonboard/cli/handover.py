"""Verbs that hand secrets over and forget them: deliver, deliveries, confirm, purge, password, open-bundle."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.complete import complete_device_id
from iotonboard.cli.session import Session, verb
from iotonboard.errors import KeyUnavailableError, UsageError
from iotonboard.model import SerialNumber, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotonboard.commands.confirm import Receipt

app = typer.Typer()

DeviceArgument = Annotated[str, typer.Argument(metavar="ID", help="The device.", autocompletion=complete_device_id)]
DevicesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[ID...]", help="Devices.", autocompletion=complete_device_id)
]
_MAX_BUNDLE = 1 << 20
_MAX_PASSWORD = 1 << 10


@verb(app, "deliver", example="iotonboard deliver press-17 --minutes 15")
def deliver(
    session: Session,
    ids: DevicesArgument = None,
    minutes: Annotated[
        int | None,
        typer.Option("--minutes", min=1, max=525600, help="Life of the link; default: DOWNLOAD_EXPIRY_MINUTES."),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="DIR", help="Copy to a removable disk instead, and read it back.")
    ] = None,
) -> int | None:
    """Hand bundles over: as a link that lives for some minutes, or as a copy on a disk."""
    from iotonboard.commands import deliver as command

    if not ids:
        raise UsageError("nothing to deliver", hint="name devices")
    if to is not None and minutes is not None:
        raise UsageError("--to and --minutes exclude each other", hint="a copy on a disk has no end")
    with session.open_state() as state:
        state.publish(acl=False)
        life = minutes or state.config["download_expiry_minutes"]
        for device_id in ids:
            if to is None:
                done = command.deliver(state, device_id, lambda: session.unlock(state), minutes=life)
            else:
                done = command.deliver_to(state, device_id, lambda: session.unlock(state), to)
            _print_delivered(session, done)
    return None


def _print_delivered(session: Session, done: object) -> None:
    from pathlib import Path

    from iotonboard.commands.deliver import Delivered

    assert isinstance(done, Delivered)  # noqa: S101 - narrows for the type checker
    link = Path(done.path).as_uri()
    values = {
        "device_id": done.device_id,
        "serial": done.certificate.serial.hex,
        "path": done.path,
        "link": link,
        "sha256": done.sha256,
        "expires_at": rfc3339(done.expires_at) if done.expires_at else None,
    }
    if done.expires_at:
        text = f"until {rfc3339(done.expires_at)}\t{done.path}\t{link}"
    else:
        text = f"{'copied and read back' if done.is_new else 'was there already'}\t{done.path}"
    session.result(values, f"{done.device_id}\t{text}")


@verb(app, "deliveries", example="iotonboard deliveries --json")
def deliveries(
    session: Session,
    status: Annotated[
        str | None, typer.Option("--status", metavar="NAME", help="pending, fetched, expired, copied, ...")
    ] = None,
) -> int | None:
    """List what was handed over. 'fetched': the file left the outbox in time, or the device was confirmed."""
    from iotonboard.store.deliveries import all_deliveries, delivery_values, status_of

    with session.open_state() as state:
        now = state.clock()
        found = (delivery_values(one, status_of(one, now)) for one in all_deliveries(state.store))
        rows = [values for values in found if status in (None, values["status"])]
    if session.json:
        for values in rows:
            output.write_json("deliveries", values)
        return None
    names = ("device_id", "status", "created_at", "expires_at", "path")
    titles = [name.replace("_", " ").upper() for name in names]
    output.write_table(titles, ([str(values[name] or "") for name in names] for values in rows))
    return None


@verb(app, "confirm", example="iotonboard confirm press-17 --fingerprint 5f1d...")
def confirm(
    session: Session,
    ids: DevicesArgument = None,
    batch: Annotated[
        str | None, typer.Option("--batch", metavar="FILE", help="CSV or results file; '-': stdin.")
    ] = None,
    fingerprint: Annotated[
        str | None, typer.Option("--fingerprint", metavar="HEX", help="SHA-256 that the device reported.")
    ] = None,
) -> int | None:
    """Record that devices took their credentials; needs no key."""
    from iotonboard.commands.confirm import confirm as confirm_all

    if bool(ids) == (batch is not None):
        raise UsageError("name devices, or a list with --batch", hint="for example: iotonboard confirm press-17")
    if fingerprint and len(ids or ()) != 1:
        raise UsageError("--fingerprint goes with one device", hint="a list has a column 'fingerprint'")
    exit_code = 0
    with session.open_state() as state:
        state.publish(acl=False)
        for answer in confirm_all(state, _receipts(ids or [], batch, fingerprint or "")):
            if answer.error is not None:
                exit_code = exit_code or answer.error.exit_code
                place = f"line {answer.line}: " if answer.line else ""
                output.write_error(place + answer.error.message, answer.error.hint)
                continue
            if answer.certificate is None or answer.confirmed_at is None:
                continue
            values = {
                "device_id": answer.device_id,
                "serial": answer.certificate.serial.hex,
                "fingerprint": answer.certificate.fingerprint,
                "confirmed_at": rfc3339(answer.confirmed_at),
            }
            what = "confirmed" if answer.is_new else "was confirmed already"
            session.result(values, f"{answer.device_id}\t{what}\t{rfc3339(answer.confirmed_at)}")
        state.publish(acl=False)
    return exit_code


def _receipts(ids: list[str], batch: str | None, fingerprint: str) -> Iterator[Receipt]:
    from iotonboard.commands.confirm import Receipt

    for device_id in ids:
        yield Receipt(device_id, fingerprint)
    if batch is not None:
        from iotonboard.enrolment.device_list import all_of, read_targets

        for target in all_of(read_targets(batch, sys.stdin.buffer), batch):
            serial = SerialNumber.from_hex(target.serial) if target.serial else None
            yield Receipt(target.device_id, target.fingerprint, serial, target.line)


@verb(app, "purge", example="iotonboard purge --older-than 30")
def purge(
    session: Session,
    ids: DevicesArgument = None,
    older_than: Annotated[
        int | None,
        typer.Option("--older-than", metavar="DAYS", min=0, max=36500, help="Only what was made DAYS ago or earlier."),
    ] = None,
) -> int | None:
    """Erase keys, salts and bundles of devices for ever; certificates and records stay. Needs no key."""
    from iotonboard.commands import purge as command
    from iotonboard.store.secrets import scrub_log

    if not ids and older_than is None:
        raise UsageError("nothing to purge", hint="name devices, or --older-than DAYS for all")
    with session.open_state() as state:
        state.publish(acl=False)
        if ids:
            answers = iter(command.purge(state, ids, older_than=older_than))
        else:
            answers = command.purge_all(state, older_than or 0)
        for answer in answers:
            values = {
                "device_id": answer.device_id,
                "serials": [serial.hex for serial in answer.serials],
                "purged_at": rfc3339(answer.purged_at),
            }
            count = len(answer.serials)
            session.result(values, f"{answer.device_id}\t{f'{count} purged' if count else 'nothing left to purge'}")
        state.publish(acl=False)
        if not scrub_log(state.store):
            session.message("another command reads the database: the next command empties its log of what was erased")
    return None


@verb(app, "password", example="iotonboard password press-17 --passphrase-file ca.pass")
def password(session: Session, device_id: DeviceArgument) -> int | None:
    """Show the password of a device's bundle again; leaves an audit row."""
    from iotonboard.commands.password import show_password

    with session.open_state() as state:
        serial, text = show_password(state, session.unlock(state), device_id)
    session.result({"device_id": device_id, "serial": serial.hex, "bundle_password": text}, text)
    return None


@verb(app, "open-bundle", example="iotonboard open-bundle creds.zip --out ./press-17 --password-file press-17.pass")
def open_bundle(
    session: Session,
    bundle: Annotated[str, typer.Argument(metavar="FILE", help="The creds.zip.")],
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="A folder that is not there yet, or is empty.")],
    password_file: Annotated[
        str | None,
        typer.Option("--password-file", metavar="FILE", help="File whose first line is the password; '-': stdin."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> int | None:
    """Decrypt a bundle, check it against its manifest and extract it; works without a state."""
    import json

    from iotonboard.commands.open_bundle import extract, read_bundle
    from iotonboard.delivery.bundle import MANIFEST

    files = read_bundle(bundle, _bundle_password(session, password_file))
    extract(files, out, force=force)
    manifest = json.loads(files[MANIFEST])
    values = {"device_id": manifest.get("device_id"), "path": out, "files": sorted(files)}
    session.result(values, f"{manifest.get('device_id')}\t{out}\t{' '.join(sorted(files))}")
    return None


def _bundle_password(session: Session, password_file: str | None) -> str:
    from iotonboard.files import read_file

    if password_file == "-":
        octets = sys.stdin.buffer.readline(_MAX_PASSWORD)
    elif password_file is not None:
        octets = read_file(password_file, limit=_MAX_PASSWORD).partition(b"\n")[0]
    elif "IOTONBOARD_BUNDLE_PASSWORD" in session.environment:
        octets = os.fsencode(session.environment["IOTONBOARD_BUNDLE_PASSWORD"])
    elif sys.stdin.isatty():
        from getpass import getpass

        octets = getpass("bundle password: ", stream=sys.stderr).encode()
    else:
        raise KeyUnavailableError(
            "the bundle's password is needed and nobody is there to type it",
            hint="name its file with --password-file, or set IOTONBOARD_BUNDLE_PASSWORD",
        )
    return octets.rstrip(b"\r\n").decode("utf-8", "replace")
