"""``deliveries``: what was handed over, and how that ended. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.state.outbox import is_exchanged
from iotonboard.store.deliveries import all_deliveries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotonboard.state.state import State
    from iotonboard.store.deliveries import Delivery


@dataclass(frozen=True, slots=True)
class Listed:
    """One delivery and its status now."""

    delivery: Delivery
    status: str


def list_deliveries(state: State, status: str | None = None) -> Iterator[Listed]:
    """All deliveries, or those of one status, oldest first.

    ``exchanged``: another file lies in the place of a bundle that waits in the outbox.
    """
    now = state.trusted_time()
    for delivery in all_deliveries(state.store):
        found = delivery.status(now)
        if found == "pending" and is_exchanged(state.paths, delivery):
            found = "exchanged"
        if status in (None, found):
            yield Listed(delivery, found)
