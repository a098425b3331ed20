"""The last published CRLs and ACLs, kept aside for inspection: ``generations/<number>/`` below the state.

A generation is what one signing published. Nothing reads the copies back: what is published is always signed
anew from the database.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from iotonboard.disk.files import (
    PUBLIC,
    make_private_dir,
    remove_empty_dir,
    remove_file,
    sweep_staging,
    write_atomic,
)
from iotonboard.disk.reading import read_pieces

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.state.layout import Paths
    from iotonboard.store.store import Store

_KEPT = "generation_kept"


def keep_generation(store: Store, paths: Paths, count: int) -> None:
    """Keep what was just published, once a generation, of the newest ``count``. The caller holds the write lock.

    Raises:
        BusyError: the disk refuses.
    """
    newest, last = store.number("crl_published") or 0, store.number(_KEPT) or 0
    if newest == last:
        return
    if count:
        folder = generation_folder(paths, newest)
        make_private_dir(paths.generations)
        make_private_dir(folder)
        sweep_staging(folder)
        for name, path in _files(paths):
            write_atomic(os.path.join(folder, name), read_pieces(path), PUBLIC)
    # Those that are too old, and one that a crash left half.
    _remove(paths, lambda one: one <= newest - count or last < one < newest)
    store.set_meta(_KEPT, newest)


def generation_folder(paths: Paths, generation: int) -> str:
    """Where the copies of one generation are."""
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
