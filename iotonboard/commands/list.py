"""``list``: devices in the order of their ids. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

from iotonboard.store.device_search import DeviceFilter, find_devices
from iotonboard.store.devices import device_record
from iotonboard.store.issuers import devices_behind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from iotonboard.model import DeviceRecord
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
    """One device and its status now."""

    device: DeviceRecord
    status: str


def list_devices(state: State, chosen: Filter) -> Iterator[Listed]:
    """The devices that match, one at a time, in the order of their ids, or as they are named.

    Raises:
        NotFoundError: there is no device of a name.
    """
    store, now = state.store, state.trusted_time()
    if chosen.old_ca or chosen.named:
        for device_id in islice(chosen.named or devices_behind(store, now), chosen.limit):
            yield _listed(device_record(store, device_id), now)
        return
    days = chosen.expiring_within_days
    before = None if days is None else now + timedelta(days=days)
    for device in find_devices(store, DeviceFilter(chosen.status, before, chosen.attributes, chosen.limit), now):
        yield _listed(device, now)


def _listed(device: DeviceRecord, now: datetime) -> Listed:
    return Listed(device, device.status(now))
