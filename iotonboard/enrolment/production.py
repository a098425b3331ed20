"""Under which order of the office a device is made: chosen and counted in the transaction that records it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import PolicyError
from iotonboard.model import MQTT_PROFILE, rfc3339
from iotonboard.state.office_orders import ORDERS, REQUIRED, standing_orders
from iotonboard.store.office_orders import made_under, note_production, orders_of_device

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.enrolment.desk import Order
    from iotonboard.exchange.orders import OrderedProduction
    from iotonboard.model import SerialNumber
    from iotonboard.state.state import State

_MOST_TOLD = 3
_ASK = "ask the office for an order, and take it: iotonboard order take FILE"


@dataclass(frozen=True, slots=True)
class MadeUnder:
    """The order of an office under which a certificate is made; ``counts``: its device is a further one."""

    registry: str
    order: int
    counts: bool

    def note(self, state: State, serial: SerialNumber) -> None:
        """Note it of a certificate that was recorded, in the caller's transaction."""
        note_production(state.store, serial, self.registry, self.order, counts=self.counts)


def choose_order(state: State, asked: Order, now: datetime) -> MadeUnder | None:
    """As ``order_for``, for a certificate that was issued."""
    return order_for(state, asked.device_id, asked.profile.name if asked.profile else MQTT_PROFILE, now)


def order_for(state: State, device_id: str, profile: str, now: datetime) -> MadeUnder | None:
    """The open order that ends first under which a device of a profile may be made; ``None``: under none.

    A device that was made under one before, and gets another certificate, does not count again. A CA that was added to
    the state has orders of its own.

    Raises:
        PolicyError: orders are required, and none is open.
    """
    orders = standing_orders(state)
    if orders:
        made, before = made_under(state.store, orders.office), orders_of_device(state.store, orders.office, device_id)
        for one in sorted(orders.production, key=lambda one: (one.until, one.id)):
            is_counted = one.id in before
            if _closed(one, profile, now, 0 if is_counted else made.get(one.id, 0)) is None:
                return MadeUnder(orders.office, one.id, not is_counted)
    if state.config[ORDERS] != REQUIRED:
        return None
    if not orders or not orders.production:
        raise PolicyError("devices are made under an order of the office alone, and none was taken", hint=_ASK)
    newest = sorted(orders.production, key=lambda one: one.id)[-_MOST_TOLD:]
    told = "; ".join(f"order {one.id} {_closed(one, profile, now, made.get(one.id, 0))}" for one in newest)
    raise PolicyError(f"no order of the office is open for a device of profile {profile!r}: {told}", hint=_ASK)


def _closed(order: OrderedProduction, profile: str, now: datetime, made: int) -> str | None:
    """Why nothing is made under an order any more, or not this; ``None``: it is open for it."""
    if order.is_withdrawn:
        return "was withdrawn"
    if now >= order.until:
        return f"ended on {rfc3339(order.until)}"
    if order.profile not in ("", profile):
        return f"is for profile {order.profile!r}"
    return f"is used up ({made} of {order.devices})" if made >= order.devices else None
