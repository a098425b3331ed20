"""The CAs that were added to a state, opened where one is meant; where there is none, nothing is loaded for them."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from iotonboard.state import added_cas
from iotonboard.state.layout import ADDED_CAS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotonboard.state.state import State


class Opened:
    """The added CAs of a state, each opened when it is asked for, and once."""

    def __init__(self, state: State, stack: contextlib.ExitStack) -> None:
        """``stack`` closes them. ``names`` are in the order in which they were added."""
        self.around, self._stack = state, stack
        self._states: dict[str, State] = {}
        has_any = state.main is None and os.path.isdir(os.path.join(state.paths.root, ADDED_CAS))
        self.names = tuple(added_cas.told_cas(state)) if has_any else ()

    def state(self, name: str) -> State:
        """The state of one; raises as ``open_added``."""
        if name not in self._states:
            self._states[name] = self._stack.enter_context(added_cas.open_added(self.around, name))
        return self._states[name]


@contextlib.contextmanager
def opened(state: State) -> Iterator[Opened]:
    """The added CAs of a state, for a block at whose end they are closed."""
    with contextlib.ExitStack() as stack:
        yield Opened(state, stack)
