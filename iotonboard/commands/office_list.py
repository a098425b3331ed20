"""``list`` at an office: the devices of all stations in the order of their ids. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

from iotonboard.office.meant import devices_meant, station_named
from iotonboard.store.registry.fleet import FleetFilter, find_fleet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from iotonboard.office.office import Office
    from iotonboard.store.registry.fleet import FleetDevice


@dataclass(frozen=True, slots=True)
class Filter:
    """Which devices are listed; empty or ``None`` means any. ``named``: these, at every station, and no other."""

    status: str | None = None
    station: str = ""
    expiring_within_days: int | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    limit: int | None = None
    named: tuple[str, ...] = ()
    certificates: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """One device and its status now."""

    device: FleetDevice
    status: str


def list_fleet(office: Office, chosen: Filter) -> Iterator[Listed]:
    """The devices that match, one at a time.

    Raises:
        NotFoundError: there is no such station, or no device of a name.
        PolicyError: a file holds no certificate.
    """
    now = office.clock()
    if chosen.station:
        station_named(office, chosen.station)
    if chosen.named or chosen.certificates:
        found = iter(devices_meant(office.registry, chosen.named, chosen.certificates, station=chosen.station))
    else:
        days = chosen.expiring_within_days
        before = None if days is None else now + timedelta(days=days)
        found = find_fleet(
            office.registry, FleetFilter(chosen.status, chosen.station, before, None, chosen.attributes), now
        )
    for device in islice(found, chosen.limit):
        yield Listed(device, device.status(now))
