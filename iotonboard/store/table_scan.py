"""What the tables hold, whatever their indexes say: a damaged index is no reason not to find a device."""

from __future__ import annotations

from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iotonboard.model import SerialNumber
    from iotonboard.store.store import Store


class TableScan:
    """Reads a table through when an index finds nothing in it: once, however many are asked for afterwards."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def has_device(self, device_id: str) -> bool:
        """Say whether there is a device whose id is spelled exactly so."""
        return device_id in self._ids

    def has_certificate(self, serial: SerialNumber) -> bool:
        """Say whether there is a certificate of that serial."""
        return serial.octets in self._serials

    @cached_property
    def _ids(self) -> frozenset[str]:
        return frozenset(chain.from_iterable(self._store.each_row("SELECT device_id FROM device NOT INDEXED")))

    @cached_property
    def _serials(self) -> frozenset[bytes]:
        return frozenset(chain.from_iterable(self._store.each_row("SELECT serial FROM certificate NOT INDEXED")))
