"""The verb ``journal``."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from iotonboard.cli.options import ForceOption
from iotonboard.cli.session import Session, verb
from iotonboard.errors import UsageError

app = typer.Typer()


@verb(app, "journal", example="iotonboard journal --out /media/usb --passphrase-file ca.pass")
def journal(
    session: Session,
    out: Annotated[
        str, typer.Option("--out", metavar="FILE", help="The journal; in a folder it gets a name of its own.")
    ],
    full: Annotated[bool, typer.Option("--full", help="Everything from the beginning.")] = False,
    since: Annotated[
        int | None,
        typer.Option("--since", min=0, metavar="ROW", help="What is behind this row of the trail, as the office asks."),
    ] = None,
    force: ForceOption = False,
) -> int | None:
    """Write what happened here since the last journal that the office took, signed by the CA, in one file.

    It has certificates, devices with their topics, revocations, CRLs and the audit trail; no key, salt, password or
    bundle. What the office took its orders say; before the first of them a journal has everything.
    """
    from iotonboard.commands.journal import Request
    from iotonboard.commands.journal import journal as run

    if full and since is not None:
        raise UsageError("--full and --since exclude each other", hint="--full is everything from the beginning")
    with session.open_state() as state:
        made = run(state, Request(out, since, full, force), session.unlocker(state))
    head = made.head
    values = {
        "path": made.path,
        "key": head.key,
        "since": head.since.row,
        "until": head.until.row,
        "full": head.is_full,
        "size": made.size,
        "rows": {part.name: part.rows for part in head.parts},
        "left_out": dict(made.left_out),
    }
    rows = f"rows {head.since.row + 1} to {head.until.row}"
    session.result(values, f"{made.path}\t{rows} of the trail\t{made.size} octets")
    if made.left_out:
        counts = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in made.left_out.items())
        session.message(
            f"warning: rows are not as the audit trail says, and are not told: {counts}; type: iotonboard health --deep"
        )
    session.message(f"next: carry {shlex.quote(made.path)} to the office, which takes it")
    return None
