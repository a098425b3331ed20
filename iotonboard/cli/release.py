"""The verb ``release``."""

from __future__ import annotations

import typer

from iotonboard.cli import output
from iotonboard.cli.options import BatchOption, IdColumnOption, OptionalDevicesArgument, ReloadOption
from iotonboard.cli.session import Session, verb
from iotonboard.cli.targets import Told, carry_next, distinct, either, named_targets
from iotonboard.errors import UnpublishedError

app = typer.Typer()


@verb(app, "release", example="iotonboard release press-17 --passphrase-file ca.pass")
def release(
    session: Session,
    ids: OptionalDevicesArgument = None,
    batch: BatchOption = None,
    id_column: IdColumnOption = "",
    reload: ReloadOption = False,
) -> int | None:
    """End a hold (revoke --reason certificateHold): CRL and ACL let the devices in again."""
    from iotonboard.commands.release import release_all as end_hold

    either(ids, batch, "release press-17")
    targets = distinct(named_targets(session, ids, batch, id_column))
    told = Told(session, in_json=False)
    with session.open_all(is_urgent=True) as cas:
        state = cas.around
        reloader = session.reloader(state, wanted=reload, signs_first=True)
        released, unpublished = end_hold(cas, targets, session.unlocker, strict=batch is None, reload=reloader)
    done = list(told.done(released))
    for one in done:
        serials = [serial.hex for serial in one.serials]
        values = {"device_id": one.device_id, "serials": serials, "crl_number": one.crl_number}
        place = f"CRL {one.crl_number}" if one.crl_number else "still on the CRL"
        text = f"{one.device_id}\t{output.counted(len(serials), 'certificate')} released\t{place}"
        session.result(values, text, unpublished=unpublished)
    exit_code = told.end()
    if unpublished:
        raise UnpublishedError(unpublished, reload=reload)
    if done and not reload:
        session.message(carry_next(state))
    return exit_code
