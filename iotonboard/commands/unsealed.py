"""What stands in a state without a seal of its CA: told to whoever unlocks, before it is sealed. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.state.sealing import left_by_earlier_version
from iotonboard.store.audit import count_unsealed

if TYPE_CHECKING:
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Unsealed:
    """How many rows of the trail which command added since, this call aside.

    ``left``: how many rows of each table an earlier version left.
    """

    added: dict[str, int]
    left: dict[str, int]


def unsealed(state: State) -> Unsealed:
    """Count them."""
    return Unsealed(count_unsealed(state.store, but_own=True), left_by_earlier_version(state))
