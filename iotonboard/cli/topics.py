"""The verb ``topics``: ``list``, ``add`` and ``remove``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli.complete import complete_device_id
from iotonboard.cli.options import BatchOption, IdColumnOption, OptionalDeviceArgument, ReachOption, ReloadOption
from iotonboard.cli.session import Session, group, verb
from iotonboard.cli.targets import Told, either, named_targets, reload_next
from iotonboard.errors import UsageError

if TYPE_CHECKING:
    from iotonboard.commands.topics import Result

app = group("topics", "Show and change the topics of one device, beside the templates that all get (acl.topics).",
            example="iotonboard topics add press-17 read:plant/config")  # fmt: skip

WordsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="[ID] ACCESS:TOPIC...",
        help="The device, unless a list names them; read, write, readwrite or deny.",
        autocompletion=complete_device_id,
    ),
]


@verb(app, "list", example="iotonboard topics list press-17")
def list_topics(
    session: Session,
    device_id: OptionalDeviceArgument = None,
    batch: BatchOption = None,
    id_column: IdColumnOption = "",
) -> int | None:
    """Show the topics of one device, or of those in a list."""
    from iotonboard.commands import topics as command
    from iotonboard.enrolment.each_device import for_each

    either(device_id, batch, "topics list press-17")
    targets, told = named_targets(session, device_id and [device_id], batch, id_column), Told(session)
    with session.open_state() as state:
        for result in told.done(for_each(targets, partial(command.list_topics, state))):
            _print(session, result)
    return told.end()


@verb(app, "add", example="iotonboard topics add press-17 read:plant/config")
def add(
    session: Session,
    words: WordsArgument,
    batch: BatchOption = None,
    id_column: IdColumnOption = "",
    yes: ReachOption = False,
    reload: ReloadOption = False,
) -> int | None:
    """Give one device, or those of a list, topics of its own."""
    return _change(session, words, batch, id_column, remove=False, reach=yes, reload=reload)


@verb(app, "remove", example="iotonboard topics remove press-17 read:plant/config")
def remove(
    session: Session,
    words: WordsArgument,
    batch: BatchOption = None,
    id_column: IdColumnOption = "",
    reload: ReloadOption = False,
) -> int | None:
    """Take topics from one device, or from those of a list."""
    return _change(session, words, batch, id_column, remove=True, reach=False, reload=reload)


def _change(
    session: Session, words: list[str], batch: str | None, id_column: str, *, remove: bool, reach: bool, reload: bool
) -> int | None:
    from iotonboard.commands import topics as command
    from iotonboard.enrolment.each_device import for_each

    ids, rules = (words[:1], words[1:]) if batch is None else ([], words)
    if not rules:
        raise UsageError("no topic is named", hint="for example: iotonboard topics add press-17 read:plant/config")
    targets, told = named_targets(session, ids, batch, id_column), Told(session)
    is_changed = False
    with session.open_state() as state:
        reloader = session.reloader(state, wanted=reload, signs_first=True)
        change = partial(command.change_topics, state, texts=rules, remove=remove, reach=reach)
        for result in told.done(for_each(targets, change)):
            _print(session, result)
            is_changed = is_changed or result.changed
        if reloader:
            command.reload_broker(state, reloader)
    if is_changed and not reload:
        session.message(reload_next(state))
    return told.end()


def _print(session: Session, result: Result) -> None:
    values = {
        "device_id": result.device_id,
        "topics": list(result.topics),
        "templates": list(result.templates),
        "changed": result.changed,
    }
    lines = [f"{result.device_id}\t{rule}" for rule in result.topics]
    session.result(values, "\n".join(lines) or f"{result.device_id}\tnone")
