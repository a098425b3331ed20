"""The verb ``release``."""

from __future__ import annotations

import typer

from iotonboard.cli.options import DevicesArgument, ReloadOption
from iotonboard.cli.session import Session, verb
from iotonboard.errors import UnpublishedError

app = typer.Typer()


@verb(app, "release", example="iotonboard release press-17 --passphrase-file ca.pass")
def release(session: Session, ids: DevicesArgument, reload: ReloadOption = False) -> int | None:
    """End a hold (revoke --reason certificateHold): CRL and ACL let the devices in again."""
    from iotonboard.commands.release import release as end_hold

    with session.open_state(is_urgent=True) as state:
        unlock, reloader = session.unlocker(state), session.reloader(state, wanted=reload)
        released, unpublished = end_hold(state, ids, unlock, reload=reloader)
    for one in released:
        serials = [serial.hex for serial in one.serials]
        values = {"device_id": one.device_id, "serials": serials, "crl_number": one.crl_number}
        place = f"CRL {one.crl_number}" if one.crl_number else "still on the CRL"
        text = f"{one.device_id}\t{len(serials)} certificate(s) released\t{place}"
        session.result(values, text, unpublished=unpublished)
    if unpublished:
        raise UnpublishedError(unpublished)
    if not reload:
        session.message("next: copy CRL and ACL to the broker if it runs elsewhere, then reload it")
    return None
