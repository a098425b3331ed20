"""The verb ``accept-clock``."""

from __future__ import annotations

import typer

from iotonboard.cli.session import Session, verb
from iotonboard.model import rfc3339

app = typer.Typer()


@verb(app, "accept-clock", example="iotonboard accept-clock --passphrase-file ca.pass")
def accept_clock(session: Session) -> int | None:
    """Go on from the clock as it is now, after it was corrected. Needs the passphrase; the audit trail has it."""
    from iotonboard.commands.accept_clock import accept_clock as accept

    with session.open_all() as cas:
        before, now = accept(cas.around, session.unlocker(cas.around))
        for added in map(cas.state, cas.names):
            accept(added, session.unlocker(added))
    session.result({"last_event": rfc3339(before), "now": rfc3339(now)}, f"{rfc3339(before)}\t{rfc3339(now)}")
    session.message("keys and bundles that a policy gives up stay for another day: time to look whether it is right")
    return None
