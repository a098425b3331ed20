"""``show`` at an office: devices of an id with their certificates and topics, at every station. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.office.meant import devices_meant
from iotonboard.office.told_rows import folded
from iotonboard.store.registry.fleet import ca_certificates, devices_called, topics_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from iotonboard.model import TopicRule
    from iotonboard.office.office import Office
    from iotonboard.store.registry.fleet import FleetDevice


@dataclass(frozen=True, slots=True)
class Shown:
    """A device at the time ``now``. ``cas``: SHA-256 fingerprints of the CAs by their keys.

    ``is_double``: another station has a live device of the same name.
    """

    device: FleetDevice
    now: datetime
    topics: tuple[TopicRule, ...]
    cas: Mapping[str, str]
    is_double: bool


def show_fleet(office: Office, words: Sequence[str], certificates: Sequence[str], *, station: str) -> Iterator[Shown]:
    """Everything that the office knows of devices.

    Raises:
        NotFoundError: no station told of one.
    """
    now = office.clock()
    cas = {key: sha256(der).hexdigest() for key, der in ca_certificates(office.registry).items()}
    for device in devices_meant(office.registry, words, certificates, station=station):
        same = devices_called(office.registry, folded(device.device_id))
        live = {one.station for one in same if one.status(now) == "active"}
        is_double = len(live) > 1 and device.station in live
        yield Shown(device, now, tuple(topics_of(office.registry, device)), cas, is_double)
