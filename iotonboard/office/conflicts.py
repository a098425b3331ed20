"""Ids that live at two trusted stations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.office.judging import standing
from iotonboard.store.registry import conflicts

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.office.office import Office
    from iotonboard.store.registry.conflicts import Conflict


def find_conflicts(office: Office, now: datetime) -> list[Conflict]:
    """What no broker can tell apart, as the registry's rows tell; each with what all its stations say of it."""
    return conflicts.conflicts(office.registry, {one.id for one in standing(office.decisions)}, now)


def station_names(office: Office) -> dict[int, str]:
    """What stations are called, by their numbers."""
    return {one.id: one.name for one in office.decisions.stations.values()}
