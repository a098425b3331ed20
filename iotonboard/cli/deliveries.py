"""The verb ``deliveries``."""

from __future__ import annotations

from typing import Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.session import Session, verb
from iotonboard.cli.values import delivery_values, delivery_words

app = typer.Typer()


@verb(app, "deliveries", example="iotonboard deliveries --json")
def deliveries(
    session: Session,
    status: Annotated[
        str | None, typer.Option("--status", metavar="NAME", help="pending, fetched, expired, copied, ...")
    ] = None,
) -> int | None:
    """List what was handed over. 'fetched': the file left the outbox in time, or the device was confirmed.

    'exchanged': somebody put another file in its place there; 'health --repair' puts the bundle back.
    """
    from iotonboard.commands.deliveries import list_deliveries

    with session.open_all() as cas:
        states = (cas.around, *map(cas.state, cas.names))
        found = [one for state in states for one in list_deliveries(state, status)]
    if session.json:
        for one in found:
            output.write_json("deliveries", delivery_values(one.delivery, one.status))
        return None
    rows = (
        {**delivery_values(one.delivery, one.status), "status": delivery_words(one.delivery, one.status)}
        for one in found
    )
    names = ("device_id", "status", "created_at", "expires_at", "path")
    titles = [name.replace("_", " ").upper() for name in names]
    output.write_table(titles, ([str(values[name] or "") for name in names] for values in rows), empty="no deliveries")
    return None
