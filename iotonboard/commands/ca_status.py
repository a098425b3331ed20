"""``ca status``: which CAs are trusted, what still uses each, and where a rollover stands. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.ca.levels import Node, ca_tree
from iotonboard.ca.rollover_status import Replaced, Standing, replaced_cas, standings
from iotonboard.store.compromised import count_waiting, waiting_brokers

if TYPE_CHECKING:
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Result:
    """``status``: ``none`` or ``under-way``; the CA that issues stands first.

    ``tree``: who certified whom. ``replaced`` are CAs whose keys were stolen; so many devices, and these brokers, have
    no new certificate since.
    """

    status: str
    cas: tuple[Standing, ...]
    replaced: tuple[Replaced, ...]
    waiting_devices: int
    waiting_brokers: tuple[str, ...]
    tree: tuple[Node, ...]


def ca_status(state: State) -> Result:
    """Look where a rollover stands; no key is needed."""
    cas = standings(state)
    waiting = count_waiting(state.store), tuple(waiting_brokers(state.store))
    return Result("under-way" if len(cas) > 1 else "none", cas, replaced_cas(state), *waiting, ca_tree(state))
