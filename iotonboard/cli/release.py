"""The verb ``release``."""

from __future__ import annotations

import typer

from iotonboard.cli.options import DevicesArgument, ReloadOption
from iotonboard.cli.reloading import finish, reach_broker
from iotonboard.cli.session import Session, verb

app = typer.Typer()


@verb(app, "release", example="iotonboard release press-17 --passphrase-file ca.pass")
def release(session: Session, ids: DevicesArgument, reload: ReloadOption = False) -> int | None:
    """End a hold (revoke --reason certificateHold): CRL and ACL let the devices in again."""
    from iotonboard.commands.release import release as end_hold

    with session.open_state() as state:
        authority = session.unlock(state)
        finish(state, authority)
        answers = end_hold(state, dict.fromkeys(ids))
        from iotonboard.commands.gen_crl import gen_crl
        from iotonboard.store.issuers import crl_number

        rows = gen_crl(state, authority)
        for answer in answers:
            number = crl_number(state.store, rows, answer.serials)
            values = {
                "device_id": answer.device_id,
                "serials": [serial.hex for serial in answer.serials],
                "crl_number": number,
            }
            session.result(values, f"{answer.device_id}\t{len(answer.serials)} certificate(s) released\tCRL {number}")
        reach_broker(session, state, reload=reload)
    return None
