"""The verb ``deliver``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli.options import BatchOption, IdColumnOption, OptionalDevicesArgument
from iotonboard.cli.session import Session, verb
from iotonboard.cli.targets import Told, confirm_next, either, named_targets
from iotonboard.errors import UsageError
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from iotonboard.commands.deliver import Delivered

app = typer.Typer()


@verb(app, "deliver", example="iotonboard deliver press-17 --minutes 15")
def deliver(
    session: Session,
    ids: OptionalDevicesArgument = None,
    batch: BatchOption = None,
    id_column: IdColumnOption = "",
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

    either(ids, batch, "deliver press-17")
    if to is not None and minutes is not None:
        raise UsageError("--to and --minutes exclude each other", hint="a copy on a disk has no end")
    targets, told = named_targets(session, ids, batch, id_column), Told(session)
    with session.open_all() as cas:
        ids = []
        for state, run in cas.runs(targets):
            unlock = session.unlocker(state)
            if to is None:
                delivered = command.deliver(state, run, unlock, minutes=minutes)
            else:
                delivered = command.deliver_to(state, run, unlock, to)
            ids += [_print(session, one) for one in told.done(delivered)]
    exit_code = told.end()
    if ids:
        whose = shlex.quote(ids[0]) if batch is None else f"--batch {'FILE' if batch == '-' else shlex.quote(batch)}"
        session.message(
            "next: let who opens the bundle have its password, on another way than the bundle:"
            f" iotonboard bundle password {whose}{' (and so on)' if batch is None and ids[1:] else ''}"
        )
        session.message(confirm_next(ids[0] if len(ids) == 1 else None))
    return exit_code


def _print(session: Session, done: Delivered) -> str:
    """Print a delivery; returns the device's id."""
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
    return done.device_id
