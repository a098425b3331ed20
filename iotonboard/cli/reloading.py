"""What ``--reload`` does for every verb that has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iotonboard.ca.authority import Authority
    from iotonboard.cli.session import Session
    from iotonboard.state.state import State


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


def reach_broker(session: Session, state: State, *, reload: bool) -> None:
    """Reload the broker, or say that somebody has to."""
    if reload:
        reload_now(session, state)
    else:
        session.message("next: copy CRL and ACL to the broker if it runs elsewhere, then reload it")


def finish(state: State, authority: Authority) -> None:
    """Sign and publish what an interrupted call recorded: the call that repeats it may have nothing to change."""
    from iotonboard.store.revocations import unlisted_revocations

    if unlisted_revocations(state.store):
        from iotonboard.commands.gen_crl import gen_crl

        gen_crl(state, authority)
    else:
        from iotonboard.state.publication import EVERYTHING, publish, refuse_unpublished

        refuse_unpublished(publish(state, *EVERYTHING))
