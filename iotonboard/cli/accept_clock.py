"""The verb ``accept-clock``."""

from __future__ import annotations

import typer

from iotonboard.cli.session import Session, verb
from iotonboard.model import rfc3339

app = typer.Typer()


@verb(app, "accept-clock", example="iotonboard accept-clock")
def accept_clock(session: Session) -> int | None:
    """Go on from the clock as it is now, after it was corrected. Recorded in the audit trail."""
    from iotonboard.commands.accept_clock import accept_clock as accept

    with session.open_state() as state:
        before, now = accept(state)
    session.result({"last_event": rfc3339(before), "now": rfc3339(now)}, f"{rfc3339(before)}\t{rfc3339(now)}")
    return None
