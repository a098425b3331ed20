"""The verb ``retire``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from iotonboard.cli.options import DevicesArgument, ReloadOption
from iotonboard.cli.session import Session, verb
from iotonboard.errors import IotOnboardError

if TYPE_CHECKING:
    from iotonboard.commands.retire import Retired

app = typer.Typer()


@verb(app, "retire", example="iotonboard retire press-17 --passphrase-file ca.pass")
def retire(session: Session, ids: DevicesArgument, reload: ReloadOption = False) -> int | None:
    """Take devices out of service: revoked as cessationOfOperation, out of the ACL, their ids never given again."""
    from iotonboard.commands.retire import retire as end_service

    done: list[Retired] = []
    with session.open_state() as state:
        retired = end_service(state, ids, session.unlocker(state), reload=session.reloader(state, wanted=reload))
        try:
            for one in retired:
                done.append(one)
                _print(session, one)
        except (IotOnboardError, KeyboardInterrupt):
            if done:
                session.tell_recorded(is_signed=any(one.crl_number for one in done))
            raise
    if not reload and any(one.changed or one.crl_number for one in done):
        session.message("next: copy CRL and ACL to the broker if it runs elsewhere, then reload it")
    return None


def _print(session: Session, one: Retired) -> None:
    values = {
        "device_id": one.device_id,
        "serials": [serial.hex for serial in one.serials],
        "changed": one.changed,
        "crl_number": one.crl_number,
    }
    what = f"retired, {len(one.serials)} certificate(s) revoked" if one.changed else "was retired already"
    session.result(values, f"{one.device_id}\t{what}" + (f"\tCRL {one.crl_number}" if one.crl_number else ""))
