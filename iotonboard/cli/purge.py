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
    from iotonboard.commands import purge as command
    from iotonboard.state.erasure import apply_keep_keys
    from iotonboard.state.publication import publish, publish_device_files, refuse_unpublished, settle_deliveries
    from iotonboard.store.secrets import scrub_log

    if not ids and older_than is None:
        raise UsageError("nothing to purge", hint="name devices, or --older-than DAYS for all")
    with session.open_state() as state:
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
        apply_keep_keys(state)
        unpublished = publish(state, publish_device_files, settle_deliveries)
        is_gone = scrub_log(state.store)
        refuse_unpublished(unpublished)
        if not is_gone:
            session.message("another command reads the database: the next command empties its log of what was erased")
    return None
