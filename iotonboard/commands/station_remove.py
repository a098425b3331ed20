"""``station remove``: take no more journals of a station; what it told stays in the registry, and goes to no broker.

It takes trust away, so it needs no key: the next command with the key seals it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.errors import NotFoundError
from iotonboard.office import decisions
from iotonboard.store.registry.stations import remove_station as note_removed

if TYPE_CHECKING:
    from iotonboard.office.office import Office


def remove_station(office: Office, name: str) -> None:
    """Remove a station.

    Raises:
        NotFoundError: none is called so.
        BusyError: another machine holds the registry, or the disk refuses.
    """
    with office.transaction() as now:
        station = office.decisions.station_called(name)
        if station is None:
            raise NotFoundError(f"there is no station {name[:80]!r}", hint="'iotonboard station list' shows them")
        office.decide(now, decisions.DISTRUST, subject=name, station=station.id)
        note_removed(office.registry, station.id, now)
    office.remember()
