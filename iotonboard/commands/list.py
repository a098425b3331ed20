"""``list``: devices in the order of their ids. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, islice
from typing import TYPE_CHECKING

from iotonboard.model import Target
from iotonboard.state.added_targets import name_of_added
from iotonboard.store.device_search import DeviceFilter, find_devices
from iotonboard.store.devices import device_record
from iotonboard.store.issuers import devices_behind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from iotonboard.model import DeviceRecord
    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Filter:
    """Which devices are listed; ``None`` means any. ``old_ca``: those without a certificate of the CA that issues.

    ``named``: these, and no other.
    """

    status: str | None = None
    expiring_within_days: int | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    limit: int | None = None
    old_ca: bool = False
    named: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """One device and its status now; ``ca``: name of the added CA that it is of."""

    device: DeviceRecord
    status: str
    ca: str = ""


def list_devices(cas: Opened, chosen: Filter) -> Iterator[Listed]:
    """The devices that match, one at a time, in the order of their ids, or as they are named.

    Behind those of the state stand those of each CA that was added to it.

    Raises:
        NotFoundError: there is no device of a name.
    """
    found: Iterator[Listed]
    if chosen.named:
        found = (
            _listed(device_record(state.store, one.device_id), state.trusted_time(), name_of_added(state))
            for state, run in cas.runs(map(Target, chosen.named))
            for one in run
            if isinstance(one, Target)
        )
    else:
        found = chain.from_iterable(_of_one(state, chosen) for state in (cas.around, *map(cas.state, cas.names)))
    yield from islice(found, chosen.limit)


def _of_one(state: State, chosen: Filter) -> Iterator[Listed]:
    store, now = state.store, state.trusted_time()
    if chosen.old_ca:
        for device_id in devices_behind(store, now):
            yield _listed(device_record(store, device_id), now, name_of_added(state))
        return
    days = chosen.expiring_within_days
    before = None if days is None else now + timedelta(days=days)
    for device in find_devices(store, DeviceFilter(chosen.status, before, chosen.attributes, chosen.limit), now):
        yield _listed(device, now, name_of_added(state))


def _listed(device: DeviceRecord, now: datetime, ca: str) -> Listed:
    return Listed(device, device.status(now), ca)
