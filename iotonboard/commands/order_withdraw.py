"""``order withdraw`` at an office: end an order for production. It needs no key, and counts once the station knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.errors import NotFoundError
from iotonboard.office import decisions
from iotonboard.store.registry.orders import note_withdrawn

if TYPE_CHECKING:
    from iotonboard.office.decisions import ProductionOrder
    from iotonboard.office.office import Office


def withdraw(office: Office, number: int) -> ProductionOrder:
    """Record that an order ends; one that was withdrawn before stays so.

    Raises:
        NotFoundError: there is no such order.
    """
    with office.transaction() as now:
        order = office.decisions.production.get(number)
        if order is None:
            raise NotFoundError(f"there is no order {number} for production", hint="'iotonboard order list' shows them")
        if not order.is_withdrawn:
            of = office.decisions.stations[order.station]
            office.decide(now, decisions.WITHDRAW, subject=of.name, order=number, station=of.id)
            note_withdrawn(office.registry, number, now)
    office.remember()
    return order
