"""``gen-crl`` at an office: write one file of the lists that its stations signed, with CA file and ACL beside.

1. Derive what the journals tell that were taken since; a new one needs the office's key.
2. Write CRL, ACL and CA file where they differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.office.giving import open_given
from iotonboard.office.publishing import publish

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.errors import IotOnboardError, StateError, Unpublished
    from iotonboard.office.key import OfficeKey
    from iotonboard.office.office import Office
    from iotonboard.store.registry.given_out import List


@dataclass(frozen=True, slots=True)
class Result:
    """The lists in the file, with their stations' names. ``unread``: why something newer could not be verified."""

    path: str
    lists: tuple[tuple[str, List], ...]
    problems: tuple[tuple[str, IotOnboardError], ...]
    unpublished: tuple[Unpublished, ...]
    unread: StateError | None


def gen_crl(office: Office, unlock: Callable[[], OfficeKey], *, here: bool = False) -> Result:
    """Write the CRL file of all stations, with CA file and ACL.

    Raises:
        StateError: the trail is not believed, or of a trusted station nothing can be verified any more.
        PolicyError: no station is trusted.
        KeyUnavailableError: the office's key does not open.
        BusyError: the disk or the registry refuses.
    """
    with open_given(office, unlock) as given:
        unpublished = publish(office, given, here=here)
        lists = tuple((station.name, one) for station, one in given.lists)
        unread = next(iter(given.unread.values()), None)
        return Result(office.place("broker_crl_file"), lists, tuple(given.problems), tuple(unpublished), unread)
