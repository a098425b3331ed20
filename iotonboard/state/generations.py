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
    remove_empty_dir,
    remove_file,
    sweep_staging,
    write_atomic,
)
from iotonboard.reading import read_pieces
from iotonboard.store.crls import newest_crls

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from iotonboard.state.layout import Paths
    from iotonboard.store.crls import CrlRow
    from iotonboard.store.store import Store

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


def keep_generation(store: Store, paths: Paths, count: int) -> None:
    """Keep what was just published, once a generation, of the newest ``count``. The caller holds the write lock.

    Raises:
        BusyError: the disk refuses.
    """
    newest, last = int(store.meta("crl_published") or 0), int(store.meta(_KEPT) or 0)
    if newest == last:
        return
    if count:
        folder = _folder(paths, newest)
        make_private_dir(paths.generations)
        make_private_dir(folder)
        sweep_staging(folder)
        for name, path in _files(paths):
            write_atomic(os.path.join(folder, name), read_pieces(path), PUBLIC)
    # Those that are too old, and one that a crash left half.
    _remove(paths, lambda one: one <= newest - count or last < one < newest)
    store.set_meta(_KEPT, newest)


def list_generations(store: Store, paths: Paths, count: int) -> list[Generation]:
    """The newest ``count`` generations, at least one, newest first."""
    rows = newest_crls(store, max(count, 1))
    return [
        _generation(paths, [row for row in rows if row.generation == number])
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
    return os.path.join(paths.generations, f"{generation:08d}")


def _files(paths: Paths) -> tuple[tuple[str, str], ...]:
    return ("crl.pem", paths.crl), ("mosquitto.acl", paths.acl)


def _remove(paths: Paths, is_over: Callable[[int], bool]) -> None:
    for name in os.listdir(paths.generations) if os.path.isdir(paths.generations) else ():
        if name.isdecimal() and is_over(int(name)):
            folder = os.path.join(paths.generations, name)
            for file, _ in _files(paths):
                remove_file(os.path.join(folder, file))
            sweep_staging(folder)
            remove_empty_dir(folder)
