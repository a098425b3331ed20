"""What an office ordered, and how far its stations told that it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.model import from_epoch, to_epoch
from iotonboard.store.registry.orders import made_without, produced

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.office.decisions import Decisions
    from iotonboard.office.office import Office


@dataclass(frozen=True, slots=True)
class Production:
    """An order for production. ``made``: as the station's newest journal tells.

    ``status`` is ``open``, ``used up``, ``ended`` or ``withdrawn``.
    """

    id: int
    station: str
    devices: int
    made: int
    profile: str
    until: datetime
    status: str


@dataclass(frozen=True, slots=True)
class Revocation:
    """A revocation that was ordered. ``crl_number``: of the list by which it was closed, ``None`` while it is open."""

    id: int
    station: str
    device_id: str
    serial: str
    reason: str
    time: datetime
    crl_number: int | None


@dataclass(frozen=True, slots=True)
class Ordered:
    """All orders; ``without``: how many devices a station made under none since its first one, by its name."""

    production: tuple[Production, ...]
    revocations: tuple[Revocation, ...]
    without: dict[str, int]


def list_orders(office: Office) -> Ordered:
    """Everything that was ever ordered, the oldest first."""
    found, now = office.decisions, office.clock()
    made, names = produced(office.registry), {one.id: one.name for one in found.stations.values()}
    production = []
    for one in found.production.values():
        count = made.get(one.id, 0)
        status = "withdrawn" if one.is_withdrawn else "ended" if one.until <= to_epoch(now) else "open"
        status = "used up" if status == "open" and count >= one.devices else status
        until = from_epoch(one.until)
        production.append(
            Production(one.id, names.get(one.station, "?"), one.devices, count, one.profile, until, status)
        )
    revocations = [
        Revocation(
            one.id, names.get(one.station, "?"), one.device_id, one.serial, one.reason, from_epoch(one.time),
            one.closed_by or None,
        )
        for one in found.revocations.values()
    ]  # fmt: skip
    without = {
        names.get(station, "?"): count for station, count in made_without(office.registry, _first(found)).items()
    }
    return Ordered(tuple(production), tuple(revocations), without)


def _first(found: Decisions) -> dict[int, int]:
    """When the first order for production of each station was signed."""
    first: dict[int, int] = {}
    for one in found.production.values():
        first[one.station] = min(one.time, first.get(one.station, one.time))
    return first
