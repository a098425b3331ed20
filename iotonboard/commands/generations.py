"""``generations``: the last CRLs and ACLs that were published, and where their copies are. Nothing is changed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.state.generations import generation_folder
from iotonboard.store.crls import newest_crls

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.state.state import State
    from iotonboard.store.crls import CrlRow


@dataclass(frozen=True, slots=True)
class Generation:
    """What one signing published. ``path`` is the folder of its copies, empty when they are not kept."""

    generation: int
    created: datetime
    crl_numbers: tuple[int, ...]
    next_update: datetime
    revoked: int
    path: str


def list_generations(state: State) -> list[Generation]:
    """The generations that the settings keep, at least one, newest first."""
    rows = newest_crls(state.store, max(state.config["generations_kept"], 1))
    return [
        _generation(state, [row for row in rows if row.generation == number])
        for number in sorted({row.generation for row in rows}, reverse=True)
    ]


def _generation(state: State, rows: list[CrlRow]) -> Generation:
    folder = generation_folder(state.paths, rows[0].generation)
    return Generation(
        rows[0].generation,
        rows[-1].created_at,
        tuple(row.number for row in rows),
        max(row.next_update for row in rows),
        max(row.revoked for row in rows),
        folder if os.path.isdir(folder) else "",
    )
