"""The verb ``purge``."""

from __future__ import annotations

from typing import Annotated

import typer

from iotonboard.cli.options import OptionalDevicesArgument
from iotonboard.cli.session import Session, verb
from iotonboard.errors import UsageError
from iotonboard.model import rfc3339

app = typer.Typer()


@verb(app, "purge", example="iotonboard purge --older-than 30")
def purge(
    session: Session,
    ids: OptionalDevicesArgument = None,
    older_than: Annotated[
        int | None,
        typer.Option("--older-than", metavar="DAYS", min=0, max=36500, help="Only what was made DAYS ago or earlier."),
    ] = None,
) -> int | None:
    """Erase keys, salts and bundles of devices for ever; certificates and records stay. Needs no key."""
    from iotonboard.commands.purge import StillLogged
    from iotonboard.commands.purge import purge as erase

    if not ids and older_than is None:
        raise UsageError("nothing to purge", hint="name devices, or --older-than DAYS for all")
    with session.open_state() as state:
        for one in erase(state, ids or (), older_than=older_than):
            if isinstance(one, StillLogged):
                session.message(
                    "another command reads the database: the next command empties its log of what was erased"
                )
                continue
            values = {
                "device_id": one.device_id,
                "serials": [serial.hex for serial in one.serials],
                "purged_at": rfc3339(one.purged_at),
                "files_gone": one.is_finished,
            }
            what = f"{len(one.serials)} purged" if one.serials else "nothing left to purge"
            session.result(
                values, f"{one.device_id}\t{what if one.is_finished else f'{what}; its files are still there'}"
            )
    return None
