"""What the package of an office says beside: of which stations it speaks, and how far it knows them.

A station's own packages and those of the office may both come to one broker. Which of them knows more of the station is
told by the rows of its audit trail: the region of an ACL names the row that it was made behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class StationPart:
    """A station: the ``keys`` of its CAs (``pki.key_id``), and whom it denies.

    ``row`` is the newest one of its trail that the office knows.
    """

    keys: tuple[str, ...]
    row: int
    denied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OfficePart:
    """``ordered`` are the devices that the office itself denies: by an order, or because two stations have them."""

    stations: tuple[StationPart, ...] = ()
    ordered: tuple[str, ...] = ()

    @property
    def rows(self) -> dict[str, int]:
        """The newest row that is known of the trail of each CA's station, by the CA's key."""
        return {key: one.row for one in self.stations for key in one.keys}

    def denied_by_others(self, keys: frozenset[str]) -> set[str]:
        """Whom the office denies, and every station but the one with these keys."""
        others = (one.denied for one in self.stations if not keys.intersection(one.keys))
        return {*self.ordered, *(name for denied in others for name in denied)}

    def values(self) -> dict[str, object]:
        """What is written of it, in JSON."""
        stations = [{"keys": one.keys, "row": one.row, "denied": one.denied} for one in self.stations]
        return {"stations": stations, "ordered": self.ordered}


def parse_office_part(values: Mapping[str, Any]) -> OfficePart:
    """Read it again.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is none.
    """
    stations = tuple(
        StationPart(tuple(map(str, one["keys"])), int(one["row"]), tuple(map(str, one["denied"])))
        for one in values["stations"]
    )
    return OfficePart(stations, tuple(map(str, values["ordered"])))
