"""``ca status``: which CAs are trusted, what still uses each, and where a rollover stands. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.ca.levels import Node, ca_tree
from iotonboard.ca.rollover_status import Replaced, Standing, replaced_cas, standings
from iotonboard.store.compromised import count_waiting, waiting_brokers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iotonboard.state.opened_cas import Opened


@dataclass(frozen=True, slots=True)
class Result:
    """``status``: ``none`` or ``under-way``; the CA that issues stands first.

    ``tree``: who certified whom. ``replaced`` are CAs whose keys were stolen; so many devices, and these brokers, have
    no new certificate since. ``added``: the CAs that were added to the state, by their names.
    """

    status: str
    cas: tuple[Standing, ...]
    replaced: tuple[Replaced, ...]
    waiting_devices: int
    waiting_brokers: tuple[str, ...]
    tree: tuple[Node, ...]
    added: Mapping[str, tuple[Standing, ...]]


def ca_status(cas: Opened) -> Result:
    """Look where a rollover stands; no key is needed."""
    state = cas.around
    own = standings(state)
    waiting = count_waiting(state.store), tuple(waiting_brokers(state.store))
    status, added = "under-way" if len(own) > 1 else "none", {name: standings(cas.state(name)) for name in cas.names}
    return Result(status, own, replaced_cas(state), *waiting, ca_tree(state), added)
