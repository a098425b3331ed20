"""``ca status``: which CAs are trusted, what still uses each, and where a rollover stands. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.ca.rollover_status import Standing, standings

if TYPE_CHECKING:
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Result:
    """``status``: ``none`` or ``under-way``; the CA that issues stands first."""

    status: str
    cas: tuple[Standing, ...]


def ca_status(state: State) -> Result:
    """Look where a rollover stands; no key is needed."""
    cas = standings(state)
    return Result("under-way" if len(cas) > 1 else "none", cas)
