"""``order list`` at an office: what was ordered of all stations, and how far they told that it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.office.ordered import list_orders as find

if TYPE_CHECKING:
    from iotonboard.office.office import Office
    from iotonboard.office.ordered import Ordered


def list_orders(office: Office) -> Ordered:
    """Everything that was ever ordered, the oldest first."""
    return find(office)
