"""The verb ``topics``."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from iotonboard.cli.complete import complete_device_id
from iotonboard.cli.session import Session, verb
from iotonboard.errors import UsageError

app = typer.Typer()


@verb(app, "topics", example="iotonboard topics press-17 add read:plant/config")
def topics(
    session: Session,
    device: Annotated[str, typer.Argument(metavar="ID", help="The device.", autocompletion=complete_device_id)],
    action: Annotated[Literal["list", "add", "remove"], typer.Argument(metavar="list|add|remove")] = "list",
    rules: Annotated[
        list[str] | None, typer.Argument(metavar="[ACCESS:TOPIC...]", help="read, write, readwrite or deny.")
    ] = None,
) -> int | None:
    """Show and change the topics of one device, beside the templates that all get (acl.topics)."""
    from iotonboard.commands import topics as command

    if (action == "list") == bool(rules):
        raise UsageError(f"'{action}' goes with {'no' if rules else 'at least one'} ACCESS:TOPIC")
    with session.open_state() as state:
        if action == "list":
            result = command.list_topics(state, device)
        else:
            result = command.change_topics(state, device, rules or [], remove=action == "remove")
    values = {
        "device_id": result.device_id,
        "topics": list(result.topics),
        "templates": list(result.templates),
        "changed": result.changed,
    }
    session.result(values, "\n".join(f"{result.device_id}\t{rule}" for rule in result.topics) or f"{device}\tnone")
    if result.changed:
        session.message("next: reload the broker (kill -HUP, or systemctl reload mosquitto)")
    return None
