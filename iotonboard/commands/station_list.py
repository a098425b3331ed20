"""``station list`` and ``station show``: what the office knows of its stations. Only looks."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.errors import NotFoundError
from iotonboard.model import from_epoch
from iotonboard.office.conflicts import find_conflicts, station_names
from iotonboard.store.registry.stations import StationNote, station_notes

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.office.decisions import Decisions, TrustedStation
    from iotonboard.office.office import Office
    from iotonboard.store.registry.conflicts import Conflict


@dataclass(frozen=True, slots=True)
class Station:
    """A station with its notes. ``fingerprints``: of the CAs whose journals are believed now."""

    name: str
    fingerprint: str
    fingerprints: tuple[str, ...]
    prefix: str
    journals: int
    until: int
    note: StationNote
    is_removed: bool

    @property
    def created(self) -> datetime | None:
        """When the newest journal was written."""
        return None if self.note.created is None else from_epoch(self.note.created)

    @property
    def crl_ends(self) -> datetime | None:
        """When the list ends that ends first of the newest ones."""
        return None if self.note.crl_ends is None else from_epoch(self.note.crl_ends)


def list_stations(office: Office) -> list[Station]:
    """The stations that are trusted, by name."""
    notes = station_notes(office.registry)
    found = [_station(one, notes) for one in office.decisions.stations.values() if not one.is_removed]
    return sorted(found, key=lambda one: one.name)


def show_station(office: Office, name: str) -> Station:
    """One station.

    Raises:
        NotFoundError: none is called so.
    """
    return _station(station_called(office.decisions, name), station_notes(office.registry))


def conflicts_at(office: Office, name: str = "") -> tuple[list[Conflict], dict[int, str]]:
    """The ids that live at two stations, one of which is called so; and what stations are called, by their numbers."""
    found, names = find_conflicts(office, office.clock()), station_names(office)
    if name:
        found = [one for one in found if name in (names[device.station] for device in one.devices)]
    return found, names


def station_called(decisions: Decisions, name: str) -> TrustedStation:
    """The station with a name; once it was removed, the last that was called so.

    Raises:
        NotFoundError: there is none.
    """
    removed = [one for one in decisions.stations.values() if one.name == name]
    station = decisions.station_called(name) or (removed[-1] if removed else None)
    if station is None:
        raise NotFoundError(f"there is no station {name[:80]!r}", hint="'iotonboard station list' shows them")
    return station


def _station(one: TrustedStation, notes: dict[int, StationNote]) -> Station:
    fingerprints = tuple(sha256(der).hexdigest() for der in one.cas)
    note = notes.get(one.id) or StationNote(one.id, None, 0, 0, 0, None)
    return Station(
        one.name, sha256(one.certificate).hexdigest(), fingerprints, one.prefix, len(one.taken), one.until.row, note,
        one.is_removed,
    )  # fmt: skip
