"""Calls that broke off, known again when they are made again: what they renewed is not renewed twice.

A call notes with its first certificate where the trail stood, and forgets that when it comes to its end. One that was
killed or interrupted, or that could not publish, leaves the note.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.store import audit

if TYPE_CHECKING:
    from iotonboard.state.state import State

# A call that is made again later is meant anew: a nightly one, or that of the next year.
_GOES_ON_FOR = timedelta(days=7)


def renewed_before(state: State, call: str) -> dict[str, str]:
    """What this call renewed before it broke off: the devices, with the serial of their new certificate (hex)."""
    since = state.store.meta(_key(call))
    if not isinstance(since, int):
        return {}
    return audit.renewals(state.store, since_seq=since, since=state.clock() - _GOES_ON_FOR)


def note_begun(state: State, call: str) -> None:
    """Note that this call is under way, before its first row of the trail, inside the caller's transaction."""
    if state.store.meta(_key(call)) is None:
        state.store.set_meta(_key(call), audit.head(state.store).seq)


def note_ended(state: State, call: str) -> None:
    """Forget a call that came to its end."""
    if state.store.meta(_key(call)) is not None:
        with state.transaction():
            state.store.forget_meta(_key(call))


def _key(call: str) -> str:
    return f"unfinished {call}"
