"""``ca recovery``: set the passphrase that opens the bundles, and names the next CA, when the CA's key is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.ca.authority import refuse_changed, seal_audit
from iotonboard.ca.recovery import has_recovery, set_recovery

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.ca.authority import Unlock
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.state.state import State


def set_recovery_passphrase(state: State, unlock: Unlock, ask: Callable[[], Passphrase]) -> bool:
    """Set it, asked for once the CA is open; returns whether there was one before, which opens nothing any more.

    Raises:
        KeyUnavailableError: the CA does not open.
        PolicyError: the new passphrase is soon guessed.
        BusyError: the state is locked or the disk refuses.
    """
    opened = unlock()
    passphrase = ask()
    with state.transaction() as now:
        refuse_changed(state, opened)
        was_there = has_recovery(state.store)
        set_recovery(state, opened, passphrase, now)
        seal_audit(state, opened)
    return was_there
