"""The verb ``confirm``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.options import OptionalDevicesArgument
from iotonboard.cli.session import Session, verb
from iotonboard.errors import UsageError
from iotonboard.model import Refused, Target, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator

app = typer.Typer()


@verb(app, "confirm", example="iotonboard confirm press-17 --fingerprint 5f1d...")
def confirm(
    session: Session,
    ids: OptionalDevicesArgument = None,
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
        for one in confirm_all(state, _targets(ids or [], batch, fingerprint or "")):
            if isinstance(one, Refused):
                exit_code = exit_code or one.error.exit_code
                output.write_error(one.message, one.error.hint)
                continue
            values = {
                "device_id": one.device_id,
                "serial": one.certificate.serial.hex,
                "fingerprint": one.certificate.fingerprint,
                "confirmed_at": rfc3339(one.confirmed_at),
            }
            what = "confirmed" if one.is_new else "was confirmed already"
            session.result(values, f"{one.device_id}\t{what}\t{rfc3339(one.confirmed_at)}")
    return exit_code


def _targets(ids: list[str], batch: str | None, fingerprint: str) -> Iterator[Target]:
    for device_id in ids:
        yield Target(device_id, fingerprint=fingerprint)
    if batch is not None:
        from iotonboard.enrolment.device_list import all_of, read_targets

        yield from all_of(read_targets(batch, sys.stdin.buffer), batch)
