"""``order list`` at a station: the office, what it ordered, and how far that is done. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.state.office_orders import (
    OFFICE,
    ORDERS,
    REQUIRED,
    is_in_trail,
    standing_orders,
    waiting_revocations,
)
from iotonboard.store.audit import head
from iotonboard.store.office_orders import made_under

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.exchange.orders import OrderedProduction, OrderedRevocation, Orders
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Production:
    """An order to make devices, and how many were ``made`` here. ``status``: open, used-up, ended or withdrawn."""

    order: OrderedProduction
    made: int
    status: str


@dataclass(frozen=True, slots=True)
class Revocation:
    """An order to revoke a certificate. ``status``: recorded, or waiting where that could not be done yet."""

    order: OrderedRevocation
    status: str


@dataclass(frozen=True, slots=True)
class Result:
    """What stands. ``office``: the fingerprint that is trusted, empty: none.

    ``behind``: how many rows of the trail the office has not taken; all of them where it took another trail.
    """

    office: str
    is_required: bool
    orders: Orders | None
    production: tuple[Production, ...]
    revocations: tuple[Revocation, ...]
    behind: int


def list_orders(state: State) -> Result:
    """Look up what was ordered."""
    orders, now = standing_orders(state), state.trusted_time()
    made = made_under(state.store, orders.office) if orders else {}
    ordered, waiting = (orders.revocations, waiting_revocations(state, orders)) if orders else ((), [])
    taken = orders.acknowledged.row if orders and is_in_trail(state, orders.acknowledged) else 0
    return Result(
        str(state.config[OFFICE]),
        state.config[ORDERS] == REQUIRED,
        orders,
        tuple(_production(one, made.get(one.id, 0), now) for one in (orders.production if orders else ())),
        tuple(Revocation(one, "waiting" if one in waiting else "recorded") for one in ordered),
        head(state.store).seq - taken,
    )


def _production(order: OrderedProduction, made: int, now: datetime) -> Production:
    status = "used-up" if made >= order.devices else "open"
    status = "ended" if now >= order.until else status
    return Production(order, made, "withdrawn" if order.is_withdrawn else status)
