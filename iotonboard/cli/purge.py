"""The verb ``purge``."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli.options import BatchOption, IdColumnOption, OptionalDevicesArgument, YesOption
from iotonboard.cli.session import Session, verb
from iotonboard.cli.targets import Told, name_some, named_targets
from iotonboard.errors import UsageError
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from iotonboard.commands.purge import Purged

app = typer.Typer()


@verb(app, "purge", example="iotonboard purge --older-than 30")
def purge(
    session: Session,
    ids: OptionalDevicesArgument = None,
    batch: BatchOption = None,
    id_column: IdColumnOption = "",
    older_than: Annotated[
        int | None,
        typer.Option("--older-than", metavar="DAYS", min=0, max=36500, help="Only what was made DAYS ago or earlier."),
    ] = None,
    yes: YesOption = False,
) -> int | None:
    """Erase keys, salts and bundles of devices for ever; certificates and records stay. Needs no key."""
    from iotonboard.commands.purge import StillLogged
    from iotonboard.commands.purge import purge as erase
    from iotonboard.enrolment.each_device import known_devices

    if not ids and batch is None and older_than is None:
        raise UsageError("nothing to purge", hint="name devices, --batch FILE, or --older-than DAYS for all")
    targets, told = named_targets(session, ids, batch, id_column, needs_end=True), Told(session)
    with session.open_all() as cas:
        parts = [(state, *known_devices(state, run)) for state, run in cas.runs(targets)]
        named = [one for _, of, _ in parts for one in of]
        answers: Iterator[Purged | StillLogged] = iter(())
        session.confirm(_question(named, older_than), yes=yes or (batch is not None and not named))
        if named:
            answers = chain.from_iterable(erase(state, of, older_than=older_than) for state, of, _ in parts if of)
        elif not ids and batch is None:
            states = (cas.around, *map(cas.state, cas.names))
            answers = chain.from_iterable(erase(state, (), older_than=older_than) for state in states)
        told.refuse(*(one for *_, of in parts for one in of))
        done: Iterator[Purged | StillLogged] = told.done(answers)
        for one in done:
            if isinstance(one, StillLogged):
                session.message(
                    "another command reads the database: the next command empties its log of what was erased"
                )
                continue
            values = {
                "device_id": one.device_id,
                "serials": [serial.hex for serial in one.serials],
                "purged_at": rfc3339(one.purged_at),
                "files_gone": one.is_finished,
                "kept": [serial.hex for serial in one.young],
            }
            what = f"{len(one.serials)} purged" if one.serials or one.young else "nothing left to purge"
            what += f", {len(one.young)} younger: kept" if one.young else ""
            session.result(
                values, f"{one.device_id}\t{what if one.is_finished else f'{what}; its files are still there'}"
            )
    return told.exit_code if batch is None else told.end()


def _question(named: Sequence[str], older_than: int | None) -> str:
    whose = name_some(named) if named else "every device"
    made = f", as far as they were made {older_than} days ago or earlier" if older_than is not None else ""
    return f"Erase keys and bundles of {whose} for ever{made}?"
