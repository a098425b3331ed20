"""The verb ``retire``."""

from __future__ import annotations

import typer

from iotonboard.cli.options import DevicesArgument, ReloadOption
from iotonboard.cli.reloading import finish, reach_broker
from iotonboard.cli.session import Session, verb

app = typer.Typer()


@verb(app, "retire", example="iotonboard retire press-17 --passphrase-file ca.pass")
def retire(session: Session, ids: DevicesArgument, reload: ReloadOption = False) -> int | None:
    """Take devices out of service: revoked as cessationOfOperation, out of the ACL, their ids never given again."""
    from iotonboard.commands.retire import retire as end_service

    with session.open_state() as state:
        authority = session.unlock(state)
        finish(state, authority)
        answers = end_service(state, dict.fromkeys(ids))
        numbers: list[int | None] = [None] * len(answers)
        if any(answer.changed for answer in answers):
            from iotonboard.commands.gen_crl import gen_crl
            from iotonboard.store.issuers import crl_number

            rows = gen_crl(state, authority)
            numbers = [crl_number(state.store, rows, answer.serials) for answer in answers]
        for answer, number in zip(answers, numbers, strict=True):
            values = {
                "device_id": answer.device_id,
                "serials": [serial.hex for serial in answer.serials],
                "changed": answer.changed,
                "crl_number": number,
            }
            what = f"retired, {len(answer.serials)} certificate(s) revoked" if answer.changed else "was retired already"
            session.result(values, f"{answer.device_id}\t{what}" + (f"\tCRL {number}" if number else ""))
        if reload or any(numbers):
            reach_broker(session, state, reload=reload)
    return None
