"""``order sign`` at an office: let a station make so many devices until a day. It counts once the station took it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.errors import PolicyError
from iotonboard.model import rfc3339, to_epoch
from iotonboard.office import decisions
from iotonboard.office.meant import station_named
from iotonboard.office.office import refuse_untrusted
from iotonboard.store.registry.orders import note_production

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from iotonboard.office.decisions import ProductionOrder
    from iotonboard.office.key import OfficeKey
    from iotonboard.office.office import Office

_MOST = 1 << 31


def sign(
    office: Office, station: str, devices: int, profile: str, until: datetime, unlock: Callable[[], OfficeKey]
) -> ProductionOrder:
    """Record an order for production, sealed.

    Raises:
        NotFoundError: there is no such station.
        PolicyError: it would have ended already, or be for more devices than anybody counts.
        StateError: the office's trail is not believed.
        KeyUnavailableError: the office's key does not open.
    """
    refuse_untrusted(office)
    station_named(office, station)
    if until <= office.clock():
        raise PolicyError(f"{rfc3339(until)} is past", hint="say until when the order is to hold: --until 2030-01-31")
    if not 0 < devices < _MOST:
        raise PolicyError(f"{devices} is no number of devices", hint="say how many may be made: --devices 500")
    key = unlock()
    with office.transaction() as now:
        refuse_untrusted(office)
        of = station_named(office, station)
        number = max(office.decisions.production, default=0) + 1
        office.decide(
            now, decisions.ORDER, subject=of.name,
            order=number, station=of.id, devices=devices, profile=profile, until=to_epoch(until),
        )  # fmt: skip
        note_production(office.registry, number, of.id, devices, profile, until, now)
        office.seal(key)
    office.remember()
    return office.decisions.production[number]
