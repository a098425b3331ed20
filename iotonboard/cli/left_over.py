"""What earlier calls left to the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.state.state import State


def finish_earlier_calls(state: State, now: datetime) -> None:
    """Do what was left to the next command, whatever it is; most calls have nothing to do, and load nothing for it."""
    from iotonboard.store.left_to_do import has_erasures_left, has_expired_delivery

    if has_expired_delivery(state.store, now):
        from iotonboard.state.outbox import sweep_outbox

        sweep_outbox(state)
    if has_erasures_left(state.store):
        from iotonboard.state.erasure import finish_erasures

        finish_erasures(state)
