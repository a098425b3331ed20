"""What an office ordered, as it was signed, and what was made under its orders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.model import LATEST, from_epoch, to_epoch

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.model import SerialNumber
    from iotonboard.store.store import Store

_MANY = 1 << 53


@dataclass(frozen=True, slots=True)
class TakenOrders:
    """The newest orders of an office that were taken; ``registry`` names it, ``content`` is what its file held."""

    registry: str
    number: int
    taken_at: datetime
    content: bytes


def taken_orders(store: Store) -> list[TakenOrders]:
    """Those of each office, the ones that were taken last in front; a row that cannot be is none: ``health`` names it.

    So it stops nothing, and the orders can be taken again.
    """
    query = """SELECT registry, number, taken_at, content FROM office_orders WHERE typeof(registry) = 'text'
        AND typeof(number) = 'integer' AND typeof(taken_at) = 'integer' AND taken_at BETWEEN 0 AND ?
        AND typeof(content) = 'blob' ORDER BY taken_at DESC, registry"""
    return store.records(_taken, query, (LATEST,))


def _taken(registry: str, number: int, taken_at: int, content: bytes) -> TakenOrders:
    return TakenOrders(registry, number, from_epoch(taken_at), content)


def keep_orders(store: Store, taken: TakenOrders) -> None:
    """Put orders in the place of those before, in the caller's transaction."""
    store.execute(
        "INSERT INTO office_orders (registry, number, taken_at, content) VALUES (?, ?, ?, ?) ON CONFLICT (registry)"
        " DO UPDATE SET number = excluded.number, taken_at = excluded.taken_at, content = excluded.content",
        (taken.registry, taken.number, to_epoch(taken.taken_at), taken.content),
    )


def made_under(store: Store, registry: str) -> dict[int, int]:
    """How many devices were made under each order of an office, by the order's number; many where that cannot be."""
    query = """SELECT production_order, iif(typeof(made) = 'integer' AND made >= 0, made, ?) FROM production_count
        WHERE registry = ?"""
    return dict(store.rows(query, (_MANY, registry)))


def orders_of_device(store: Store, registry: str, device_id: str) -> frozenset[int]:
    """The orders of an office under which certificates of a device were made."""
    query = """SELECT p.production_order FROM device d JOIN certificate c ON c.device = d.id
        JOIN production p ON p.certificate = c.id WHERE d.device_id = ? AND p.registry = ?"""
    return frozenset(order for (order,) in store.rows(query, (device_id, registry)))


def note_production(store: Store, serial: SerialNumber, registry: str, order: int, *, counts: bool) -> None:
    """Note under which order a certificate was made, and count its device, in the caller's transaction."""
    store.execute(
        "INSERT INTO production (certificate, registry, production_order) SELECT id, ?, ? FROM certificate"
        " WHERE serial = ?",
        (registry, order, serial.octets),
    )
    if counts:
        store.execute(
            "INSERT INTO production_count (registry, production_order, made) VALUES (?, ?, 1)"
            " ON CONFLICT (registry, production_order) DO UPDATE SET made = made + 1",
            (registry, order),
        )
