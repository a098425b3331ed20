"""The CAs that were added to a state, opened where one is meant; where there is none, nothing is loaded for them."""

from __future__ import annotations

import contextlib
import os
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from iotonboard.errors import IotOnboardError
from iotonboard.model import Refused, Target
from iotonboard.state import added_cas, added_targets
from iotonboard.state.layout import ADDED_CAS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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

    def holder(self, device_id: str) -> State:
        """The state that has a device: the one around, also where none has it, or an added CA's."""
        ((state, _),) = self.runs([Target(device_id)])
        return state

    def runs(self, targets: Iterable[Target | Refused]) -> Iterator[tuple[State, Iterator[Target | Refused]]]:
        """Targets in their order, as long as they are of one state; each run is to be read before the next one.

        A device of several CAs is meant in the first, that of brokers: ``added_targets.divide`` means all.
        """
        if not self.names:
            yield self.around, iter(targets)
            return
        for name, run in groupby(self._placed(targets), itemgetter(0)):
            yield self.state(name) if name else self.around, map(itemgetter(1), run)

    def _placed(self, targets: Iterable[Target | Refused]) -> Iterator[tuple[str, Target | Refused]]:
        name = ""
        for target in targets:
            if isinstance(target, Target):
                try:
                    name = added_targets.holders(self, target)[0]
                except IotOnboardError as error:
                    yield "", Refused(target.device_id, target.line, error)
                    continue
            yield name, target


@contextlib.contextmanager
def opened(state: State) -> Iterator[Opened]:
    """The added CAs of a state, for a block at whose end they are closed."""
    with contextlib.ExitStack() as stack:
        yield Opened(state, stack)
