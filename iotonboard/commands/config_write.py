"""``config write``: write ``iotonboard.toml`` anew from the settings in force, which are in the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.state.settings_file import write_settings_file
from iotonboard.state.settings_seal import standing_values

if TYPE_CHECKING:
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Result:
    """The file; ``kept`` is where the one of before was left because somebody had written into it, or empty."""

    path: str
    kept: str


def write_file(state: State) -> Result:
    """Write the file anew; settings that are default are left out. Needs no key.

    Raises:
        BusyError: the disk refuses; the old file stays.
    """
    with state.store.transaction():
        kept = write_settings_file(state, standing_values(state), named=())
    return Result(state.paths.config, kept)
