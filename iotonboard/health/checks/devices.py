"""Checks of what devices leave behind: renewed certificates, deliveries and kept keys."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.health.finding import Outcome, ok, warning
from iotonboard.ids import in_command
from iotonboard.store.deliveries import never_fetched, open_deliveries
from iotonboard.store.overlaps import overdue_overlaps
from iotonboard.store.secrets import kept_for_nothing

if TYPE_CHECKING:
    from iotonboard.state.state import State

DEAD_KEY_DAYS = 30  # a key whose device ended so long ago serves nobody


def overlaps(state: State) -> Outcome:
    """A renewed certificate ends when its overlap does."""
    overdue = overdue_overlaps(state.store, state.clock())
    if overdue:
        example = overdue[0].device_id
        message = f"{len(overdue)} old certificates are past their overlap and still valid, such as {example!r}'s"
        return warning(message, "type: iotonboard gen-crl")
    return ok("no renewed certificate is past its overlap")


def deliveries(state: State) -> Outcome:
    """No delivery expired before somebody fetched it."""
    if missed := never_fetched(state.store, state.clock()):
        message = f"{len(missed)} deliveries expired and nobody fetched them, such as {missed[0]!r}'s"
        return warning(message, f"type: iotonboard deliver {in_command(missed[0])}, or confirm it")
    return ok(f"{len(open_deliveries(state.store))} wait to be fetched")


def kept_keys(state: State) -> Outcome:
    """No key is kept long after its device ended."""
    kept = kept_for_nothing(state.store, state.clock() - timedelta(days=DEAD_KEY_DAYS))
    if kept:
        message = f"{len(kept)} keys are of devices that ended over {DEAD_KEY_DAYS} days ago, such as {kept[0]!r}"
        return warning(message, f"type: iotonboard purge {in_command(kept[0])}, or set 'keep_keys'")
    return ok(f"none outlived its device by {DEAD_KEY_DAYS} days")
