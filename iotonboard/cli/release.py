"""The verb ``release``."""

from __future__ import annotations

import typer

from iotonboard.cli.options import DevicesArgument, ReloadOption
from iotonboard.cli.session import Session, verb

app = typer.Typer()


@verb(app, "release", example="iotonboard release press-17 --passphrase-file ca.pass")
def release(session: Session, ids: DevicesArgument, reload: ReloadOption = False) -> int | None:
    """End a hold (revoke --reason certificateHold): CRL and ACL let the devices in again."""
    from iotonboard.commands.release import release as end_hold

    with session.open_state() as state:
        released = end_hold(state, ids, session.unlocker(state), reload=session.reloader(state, wanted=reload))
        for one in released:
            serials = [serial.hex for serial in one.serials]
            values = {"device_id": one.device_id, "serials": serials, "crl_number": one.crl_number}
            session.result(values, f"{one.device_id}\t{len(serials)} certificate(s) released\tCRL {one.crl_number}")
    if not reload:
        session.message("next: copy CRL and ACL to the broker if it runs elsewhere, then reload it")
    return None
