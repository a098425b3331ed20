"""The verb ``confirm``."""

from __future__ import annotations

from typing import Annotated

import typer

from iotonboard.cli.options import BatchOption, IdColumnOption, OptionalDevicesArgument
from iotonboard.cli.session import Session, verb
from iotonboard.cli.targets import Told, either, named_targets
from iotonboard.errors import UsageError
from iotonboard.model import Target, rfc3339

app = typer.Typer()


@verb(app, "confirm", example="iotonboard confirm press-17 --fingerprint 5f1d...")
def confirm(
    session: Session,
    ids: OptionalDevicesArgument = None,
    batch: BatchOption = None,
    id_column: IdColumnOption = "",
    fingerprint: Annotated[
        str | None, typer.Option("--fingerprint", metavar="HEX", help="SHA-256 that the device reported.")
    ] = None,
) -> int | None:
    """Record that devices took their credentials; needs no key.

    A fingerprint that a device reported proves it: --fingerprint, or the column 'fingerprint' of a list. Results of the
    program itself prove nothing.
    """
    from iotonboard.commands.confirm import confirm as confirm_all

    either(ids, batch, "confirm press-17")
    if fingerprint and len(ids or ()) != 1:
        raise UsageError("--fingerprint goes with one device", hint="a list has a column 'fingerprint'")
    targets = named_targets(session, ids, batch, id_column, refuse_failed=True)
    if fingerprint and ids:
        targets = iter((Target(ids[0], fingerprint=fingerprint, is_reported=True),))
    told = Told(session, in_json=False)
    with session.open_state() as state:
        for one in told.done(confirm_all(state, targets)):
            values = {
                "device_id": one.device_id,
                "serial": one.certificate.serial.hex,
                "fingerprint": one.certificate.fingerprint,
                "confirmed_at": rfc3339(one.confirmed_at),
            }
            what = "confirmed" if one.is_new else "was confirmed before"
            what += ", and is proved now" if one.is_proved_now else ""
            session.result(values, f"{one.device_id}\t{what}\t{rfc3339(one.confirmed_at)}")
    return told.end()
