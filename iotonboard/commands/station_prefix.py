"""``station prefix``: how the ids of a station's new devices begin, so that no other station has them.

The station learns it with its next orders; ``register`` there then refuses other ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import ConflictError, NotFoundError, PolicyError
from iotonboard.model import DeviceId
from iotonboard.office import decisions
from iotonboard.office.judging import standing
from iotonboard.office.office import refuse_untrusted
from iotonboard.office.told_rows import folded
from iotonboard.store.registry.stations import count_other_ids, set_prefix

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.office.decisions import Decisions, TrustedStation
    from iotonboard.office.key import OfficeKey
    from iotonboard.office.office import Office


@dataclass(frozen=True, slots=True)
class Result:
    """The prefix as it is now. ``others``: devices of the station, not retired, whose ids begin otherwise."""

    prefix: str
    is_new: bool
    others: int


def prefix_station(office: Office, name: str, prefix: str, unlock: Callable[[], OfficeKey]) -> Result:
    """Set the prefix of a station; an empty one ends it.

    Raises:
        NotFoundError: no station is called so.
        PolicyError: no id begins so.
        ConflictError: an id could begin with another station's prefix too.
        StateError: the office's trail is not believed.
        BusyError: another machine holds the registry, or the disk refuses.
    """
    refuse_untrusted(office)
    _check(prefix)
    station = _judge(office.decisions, name, prefix)
    is_new = station.prefix != prefix
    if is_new:
        key = unlock()
        with office.transaction() as now:
            refuse_untrusted(office)
            station = _judge(office.decisions, name, prefix)
            office.decide(now, decisions.PREFIX, subject=name, station=station.id, prefix=prefix)
            set_prefix(office.registry, station.id, prefix)
            office.seal(key)
        office.remember()
    others = count_other_ids(office.registry, station.id, folded(prefix)) if prefix else 0
    return Result(prefix, is_new, others)


def _check(prefix: str) -> None:
    try:
        DeviceId(f"{prefix}0")
    except PolicyError as error:
        raise PolicyError(
            f"no device id begins with {prefix[:80]!r}", hint="use letters, digits, dots, dashes and underscores"
        ) from error


def _judge(found: Decisions, name: str, prefix: str) -> TrustedStation:
    station = found.station_called(name)
    if station is None:
        raise NotFoundError(f"there is no station {name[:80]!r}", hint="'iotonboard station list' shows them")
    for one in standing(found):
        shorter, longer = sorted((folded(one.prefix), folded(prefix)), key=len)
        if one.id != station.id and shorter and longer.startswith(shorter):
            raise ConflictError(
                f"an id could begin with {prefix!r} and with {one.prefix!r}, the prefix of {one.name!r}",
                hint="choose prefixes of which none begins with another: with a dash at the end",
            )
    return station
