"""The verb ``retire``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from iotonboard.cli.options import DevicesArgument, ReloadOption
from iotonboard.cli.session import Session, verb
from iotonboard.errors import UnpublishedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.commands.retire import Retired
    from iotonboard.errors import Unpublished

app = typer.Typer()


@verb(app, "retire", example="iotonboard retire press-17 --passphrase-file ca.pass")
def retire(session: Session, ids: DevicesArgument, reload: ReloadOption = False) -> int | None:
    """Take devices out of service: revoked as cessationOfOperation, out of the ACL, their ids never given again."""
    from iotonboard.commands.retire import retire as end_service

    with session.open_state(is_urgent=True) as state:
        unlock, reloader = session.unlocker(state), session.reloader(state, wanted=reload)
        retired, unpublished = end_service(state, ids, unlock, reload=reloader)
    for one in retired:
        _print(session, one, unpublished)
    if unpublished:
        raise UnpublishedError(unpublished)
    if not reload and any(one.changed or one.crl_number for one in retired):
        session.message("next: copy CRL and ACL to the broker if it runs elsewhere, then reload it")
    return None


def _print(session: Session, one: Retired, unpublished: Sequence[Unpublished]) -> None:
    values = {
        "device_id": one.device_id,
        "serials": [serial.hex for serial in one.serials],
        "changed": one.changed,
        "crl_number": one.crl_number,
    }
    what = f"retired, {len(one.serials)} certificate(s) revoked" if one.changed else "was retired already"
    place = f"\tCRL {one.crl_number}" if one.crl_number else ""
    session.result(values, f"{one.device_id}\t{what}{place}", unpublished=unpublished)
