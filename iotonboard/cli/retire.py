"""The verb ``retire``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from iotonboard.cli import output
from iotonboard.cli.options import BatchOption, IdColumnOption, OptionalDevicesArgument, ReloadOption, YesOption
from iotonboard.cli.session import Session, verb
from iotonboard.cli.targets import (
    DAMAGED_INDEX,
    STAYS_CONNECTED,
    Told,
    carry_next,
    distinct,
    either,
    named_targets,
    names_of,
)
from iotonboard.errors import UnpublishedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.commands.retire import Retired
    from iotonboard.errors import Unpublished

app = typer.Typer()


@verb(app, "retire", example="iotonboard retire press-17 --passphrase-file ca.pass")
def retire(
    session: Session,
    ids: OptionalDevicesArgument = None,
    batch: BatchOption = None,
    id_column: IdColumnOption = "",
    reload: ReloadOption = False,
    yes: YesOption = False,
) -> int | None:
    """Take devices out of service: revoked as cessationOfOperation, out of the ACL, their ids never given again."""
    from iotonboard.commands.retire import retire as end_service

    either(ids, batch, "retire press-17")
    targets = distinct(named_targets(session, ids, batch, id_column, needs_end=True))
    told = Told(session, in_json=False)
    with session.open_all(is_urgent=True) as cas:
        state = cas.around
        if names := names_of(targets):
            session.confirm(f"Retire {names} for good? Their ids are never given again.", yes=yes)
        reloader = session.reloader(state, wanted=reload)
        retired, unpublished = end_service(cas, targets, session.unlocker, strict=batch is None, reload=reloader)
    done = list(told.done(retired))
    for one in done:
        _print(session, one, unpublished)
    if any(one.is_scanned for one in done):
        session.message(DAMAGED_INDEX)
    exit_code = told.end()
    if unpublished:
        raise UnpublishedError(unpublished, reload=reload)
    if not reload and any(one.changed or one.crl_number for one in done):
        session.message(carry_next(state))
    elif any(one.changed for one in done):
        session.message(STAYS_CONNECTED)
    return exit_code


def _print(session: Session, one: Retired, unpublished: Sequence[Unpublished]) -> None:
    values = {
        "device_id": one.device_id,
        "serials": [serial.hex for serial in one.serials],
        "changed": one.changed,
        "crl_number": one.crl_number,
    }
    what = (
        f"retired, {output.counted(len(one.serials), 'certificate')} revoked" if one.changed else "was retired already"
    )
    place = f"\tCRL {one.crl_number}" if one.crl_number else ""
    session.result(values, f"{one.device_id}\t{what}{place}", unpublished=unpublished)
