"""The verb ``confirm``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.options import OptionalDevicesArgument
from iotonboard.cli.session import Session, verb
from iotonboard.errors import UsageError
from iotonboard.model import SerialNumber, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotonboard.commands.confirm import Receipt

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
    from iotonboard.state.erasure import apply_keep_keys, finish_erasures
    from iotonboard.state.publication import publish, publish_device_files, refuse_unpublished, settle_deliveries

    if bool(ids) == (batch is not None):
        raise UsageError("name devices, or a list with --batch", hint="for example: iotonboard confirm press-17")
    if fingerprint and len(ids or ()) != 1:
        raise UsageError("--fingerprint goes with one device", hint="a list has a column 'fingerprint'")
    exit_code = 0
    with session.open_state() as state:
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
        apply_keep_keys(state)
        unpublished = publish(state, publish_device_files, settle_deliveries)
        finish_erasures(state)
        refuse_unpublished(unpublished)
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
