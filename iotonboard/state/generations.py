"""The last published CRLs and ACLs, kept aside for inspection: ``generations/<number>/`` below the state.

A generation is what one signing published. Nothing reads the copies back: what is published is always signed
anew from the database.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.files import (
    PUBLIC,
    make_private_dir,
    read_pieces,
    remove_empty_dir,
    remove_file,
    sweep_staging,
    write_atomic,
)
from iotonboard.store.crls import newest_crls

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from iotonboard.state.layout import Paths
    from iotonboard.state.state import State
    from iotonboard.store.crls import CrlRow

FOLDER = "generations"
_KEPT = "generation_kept"


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation. ``path`` is the folder of its copies, empty when they are not kept."""

    generation: int
    created: datetime
    crl_numbers: tuple[int, ...]
    next_update: datetime
    revoked: int
    path: str


def keep_generation(state: State) -> None:
    """Keep what was just published, once a generation, and thin the oldest out. The caller holds the write lock.

    Raises:
        BusyError: the disk refuses.
    """
    newest, last = int(state.store.meta("crl_published") or 0), int(state.store.meta(_KEPT) or 0)
    if newest == last:
        return
    count = state.config["generations_kept"]
    if count:
        folder = _folder(state.paths, newest)
        make_private_dir(os.path.dirname(folder))
        make_private_dir(folder)
        sweep_staging(folder)
        for name, path in _files(state.paths):
            write_atomic(os.path.join(folder, name), read_pieces(path), PUBLIC, durable=False)
    # Those that are too old, and one that a crash left half.
    _remove(state.paths, lambda one: one <= newest - count or last < one < newest)
    state.store.set_meta(_KEPT, newest)


def list_generations(state: State) -> list[Generation]:
    """The generations of which CRL or copies are kept, newest first."""
    rows = newest_crls(state.store, max(state.config["generations_kept"], 1))
    return [
        _generation(state.paths, [row for row in rows if row.generation == number])
        for number in sorted({row.generation for row in rows}, reverse=True)
    ]


def _generation(paths: Paths, rows: list[CrlRow]) -> Generation:
    folder = _folder(paths, rows[0].generation)
    return Generation(
        rows[0].generation,
        rows[-1].created_at,
        tuple(row.number for row in rows),
        max(row.next_update for row in rows),
        max(row.revoked for row in rows),
        folder if os.path.isdir(folder) else "",
    )


def _folder(paths: Paths, generation: int) -> str:
    return os.path.join(paths.root, FOLDER, f"{generation:08d}")


def _files(paths: Paths) -> tuple[tuple[str, str], ...]:
    return ("crl.pem", paths.crl), ("mosquitto.acl", paths.acl)


def _remove(paths: Paths, is_over: Callable[[int], bool]) -> None:
    root = os.path.join(paths.root, FOLDER)
    for name in os.listdir(root) if os.path.isdir(root) else ():
        if name.isdecimal() and is_over(int(name)):
            folder = os.path.join(root, name)
            for file, _ in _files(paths):
                remove_file(os.path.join(folder, file))
            sweep_staging(folder)
            remove_empty_dir(folder)
