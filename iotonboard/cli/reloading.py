"""The option ``--reload`` of every verb that publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from iotonboard.cli.session import Session
    from iotonboard.state.state import State

ReloadOption = Annotated[
    bool, typer.Option("--reload", help="Make the broker read it, as 'broker.reload' says, and check the outcome.")
]


def reload_now(session: Session, state: State) -> None:
    """Reload the configured broker and say what was seen."""
    from iotonboard.broker.check import check_before_reload
    from iotonboard.broker.reload import parse_method, reload_broker

    method = parse_method(state.config["broker.reload"])
    check_before_reload(state.paths.acl, state.paths.crl, state.paths.ca_certificate, at=state.clock())
    seen = reload_broker(
        method, (state.paths.acl, state.paths.crl), timeout_s=state.config["broker.reload_timeout_seconds"]
    )
    session.message(seen)
