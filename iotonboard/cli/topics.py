"""The verb ``topics``: ``list``, ``add`` and ``remove``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli.options import DeviceArgument
from iotonboard.cli.session import Session, group, verb

if TYPE_CHECKING:
    from iotonboard.commands.topics import Result

app = group("topics", "Show and change the topics of one device, beside the templates that all get (acl.topics).",
            example="iotonboard topics add press-17 read:plant/config")  # fmt: skip

RulesArgument = Annotated[
    list[str], typer.Argument(metavar="ACCESS:TOPIC...", help="read, write, readwrite or deny.")
]  # fmt: skip


@verb(app, "list", example="iotonboard topics list press-17")
def list_topics(session: Session, device_id: DeviceArgument) -> int | None:
    """Show the topics of one device."""
    from iotonboard.commands import topics as command

    with session.open_state() as state:
        result = command.list_topics(state, device_id)
    _print(session, result)
    return None


@verb(app, "add", example="iotonboard topics add press-17 read:plant/config")
def add(session: Session, device_id: DeviceArgument, rules: RulesArgument) -> int | None:
    """Give one device topics of its own."""
    return _change(session, device_id, rules, remove=False)


@verb(app, "remove", example="iotonboard topics remove press-17 read:plant/config")
def remove(session: Session, device_id: DeviceArgument, rules: RulesArgument) -> int | None:
    """Take topics from one device."""
    return _change(session, device_id, rules, remove=True)


def _change(session: Session, device_id: str, rules: list[str], *, remove: bool) -> int | None:
    from iotonboard.commands import topics as command

    with session.open_state() as state:
        result = command.change_topics(state, device_id, rules, remove=remove)
    _print(session, result)
    if result.changed:
        session.message("next: reload the broker (kill -HUP, or systemctl reload mosquitto)")
    return None


def _print(session: Session, result: Result) -> None:
    values = {
        "device_id": result.device_id,
        "topics": list(result.topics),
        "templates": list(result.templates),
        "changed": result.changed,
    }
    lines = [f"{result.device_id}\t{rule}" for rule in result.topics]
    session.result(values, "\n".join(lines) or f"{result.device_id}\tnone")
