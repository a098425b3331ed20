"""What the tables hold, whatever their indexes say: a damaged index is no reason not to find a device."""

from __future__ import annotations

from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from iotonboard.errors import StateError
from iotonboard.store import damage

if TYPE_CHECKING:
    from iotonboard.model import SerialNumber
    from iotonboard.store.store import Store

READ_THROUGH = 32 << 20  # certificates of a database of so many octets are read within 20 ms
_DEVICE = "SELECT id FROM device WHERE device_id = ?"
_SPELLED = "SELECT device_id FROM device WHERE id = ?"
_OF_DEVICE = "SELECT id FROM certificate WHERE device = ?"
# By an index of its own (schema/version_3.py), which nothing else asks: two say the same, or one is damaged.
_OF_DEVICE_AGAIN = "SELECT id FROM certificate WHERE device IS NOT NULL AND -device = -?"


class TableScan:
    """Reads a table through when an index finds nothing in it: once, however many are asked for afterwards.

    ``read_through``: in a database of so many octets that is done also where an index may not find all.
    """

    def __init__(self, store: Store, *, read_through: int = READ_THROUGH) -> None:
        self._store = store
        self._read_through = read_through

    def has_device(self, device_id: str) -> bool:
        """Say whether there is a device whose id is spelled exactly so."""
        return device_id in self._ids

    def has_certificate(self, serial: SerialNumber) -> bool:
        """Say whether there is a certificate of that serial."""
        return serial.octets in self._serials

    def is_found_whole(self, device_id: str) -> bool:
        """Say whether the indexes find this very device, each of its certificates and no other's.

        A small database is read through for that; in a large one a second index has to say the same.
        """
        try:
            rows = self._store.records(int, _DEVICE, (device_id,))
            if len(rows) != 1 or self._store.rows(_SPELLED, rows) != [(device_id,)]:
                return False
            found = frozenset(self._store.records(int, _OF_DEVICE, rows))
            if _size_of(self._store) <= self._read_through:
                return found == frozenset(self._certificates.get(rows[0], ()))
            return found == frozenset(self._store.records(int, _OF_DEVICE_AGAIN, rows))
        except StateError:  # an index that cannot even be read
            return False

    def make_found(self, device_id: str) -> None:
        """Make sure that the indexes find a device with all of its certificates, before something gives access to it.

        Where they do not, they are built anew, outside of a transaction; a device that is not there is none to find.

        Raises:
            StateError: that was of no use.
        """
        if self.is_found_whole(device_id) or not self.has_device(device_id):
            return
        if self._store.in_transaction or not damage.rebuild_unlike(self._store):
            raise StateError(
                f"an index of the database is damaged: not every certificate of {device_id!r} is found",
                hint="type: iotonboard health --repair",
            )

    @cached_property
    def _ids(self) -> frozenset[str]:
        return frozenset(chain.from_iterable(self._store.each_row("SELECT device_id FROM device NOT INDEXED")))

    @cached_property
    def _serials(self) -> frozenset[bytes]:
        return frozenset(chain.from_iterable(self._store.each_row("SELECT serial FROM certificate NOT INDEXED")))

    @cached_property
    def _certificates(self) -> dict[int, list[int]]:
        """Row of a device -> those of its certificates."""
        found: dict[int, list[int]] = {}
        query = "SELECT device, id FROM certificate NOT INDEXED WHERE device IS NOT NULL"
        for device, certificate in self._store.each_row(query):
            found.setdefault(device, []).append(certificate)
        return found


def _size_of(store: Store) -> int:
    """Octets of the database, without its log."""
    return int(store.row("PRAGMA page_count")[0]) * int(store.row("PRAGMA page_size")[0])
