"""The verb ``receipts``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.session import Session, verb
from iotonboard.errors import IotOnboardError
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from iotonboard.commands.receipts import Taken

app = typer.Typer()
_TOLD = {
    "taken": "in place",
    "known": "taken before",
    "older": "older than what was taken, not taken",
}


@verb(app, "receipts", example="iotonboard receipts /media/usb/broker-1.receipt")
def receipts(
    session: Session,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="What 'apply --receipt' wrote on brokers' machines.")
    ],
) -> int | None:
    """Take receipts of brokers: 'show' and 'health' then say which revocations are in force where.

    Nobody signs a receipt: it is the word of the broker's machine, and of whoever had the stick. It is only shown.
    One that was taken already, or is older, changes nothing. Each file is taken alone; the first that is refused
    gives the exit code.
    """
    from iotonboard.commands.receipts import silent_brokers, take_receipt

    exit_code = None
    with session.open_state() as state:
        for path in files:
            try:
                taken = take_receipt(state, path)
            except IotOnboardError as error:
                exit_code = exit_code or error.exit_code
                if session.json:
                    values = {"path": path, "status": "failed", "error": output.error_values(error)}
                    output.write_json("receipts", values)
                output.write_error(error.message, error.hint)
            else:
                _tell(session, path, taken)
        for host in silent_brokers(state):
            session.message(f"warning: broker {host!r} never reported")
    return exit_code


def _tell(session: Session, path: str, taken: Taken) -> None:
    row = taken.row
    values = {
        "path": path,
        "status": taken.status,
        "broker": row.broker,
        "place": row.path,
        "time": rfc3339(row.time),
        "counter": row.counter,
        "acl_change": row.acl_change,
        "crl_numbers": taken.numbers,
        "is_read": row.is_read,
    }
    numbers = ", ".join(map(str, taken.numbers.values()))
    session.result(values, f"{row.broker}\t{row.path}\tCRL {numbers}\tpackage {row.counter}\t{_TOLD[taken.status]}")
    if taken.is_back:
        session.message(f"warning: {row.broker!r} went back to older files: what was revoked since is let in there")
    if taken.status == "taken" and not row.is_read:
        session.message(f"warning: nobody saw the broker on {row.broker!r} read these files; use apply --reload there")
