"""The check of the head office: what it ordered is done, and it hears of what happens here."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.ca.journal import WRITTEN
from iotonboard.health.finding import Outcome, failed, ok, warning
from iotonboard.model import rfc3339
from iotonboard.state.added_targets import name_of_added
from iotonboard.state.office_orders import OFFICE, ORDERS, is_in_trail, standing_orders, waiting_revocations
from iotonboard.store import audit

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.exchange.orders import Orders
    from iotonboard.state.state import State

_OLD = timedelta(days=14)  # of a round that is made every week, one was missed
_TAKE = "type: iotonboard order take FILE"


def office(state: State) -> Outcome:
    """The revocations that the office ordered are recorded, and the newest journal is not old."""
    if not state.config[OFFICE]:
        if not state.config[ORDERS]:
            return ok("this station follows no office")
        return warning(
            "devices are made under orders alone, and no office is trusted", "type: iotonboard order trust office.crt"
        )
    orders = standing_orders(state)
    if orders and not is_in_trail(state, orders.acknowledged):
        message = f"the office took row {orders.acknowledged.row} of a trail that is not in this state"
        return failed(message, "it was put back from an older copy, or two are at work: bring the newest backup back")
    if orders and (waiting := waiting_revocations(state, orders)):
        message = f"the office ordered to revoke {waiting[0].device_id!r}, and that is not recorded here"
        return failed(message, f"{_TAKE}, with the newest orders")
    return _journal(state, orders)


def _journal(state: State, orders: Orders | None) -> Outcome:
    written: datetime | None = state.store.moment(WRITTEN)
    behind = audit.head(state.store).seq - (orders.acknowledged.row if orders else 0)
    if written is None or written < state.trusted_time() - _OLD:
        when = f"is of {rfc3339(written)}" if written else "was not written yet"
        message = f"the newest journal {when}; the office lacks {behind} rows of the trail"
        which = f" --ca {name_of_added(state)}" if state.main else ""
        return warning(message, f"type: iotonboard journal --out FILE{which}, and carry it there")
    if orders is None:
        return ok("no orders were taken of the office yet")
    return ok(f"orders {orders.number}, the newest journal of {rfc3339(written)}")
