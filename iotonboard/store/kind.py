"""What kind of CA a state has: one that issues by itself, a root of others, one below a root, or one that was added."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from iotonboard.store import audit

if TYPE_CHECKING:
    from iotonboard.store.store import Store

_KIND, ROOT, ADDED = "kind", "root", "added"
BELOW_ROOT = "below_root"  # key in the row of the trail that tells of the first CA


def is_root(store: Store) -> bool:
    """Say whether this state is a root's."""
    return bool(store.meta(_KIND) == ROOT)


def make_root(store: Store) -> None:
    """Note that this state is a root's, in the transaction that makes it."""
    store.set_meta(_KIND, ROOT)


def is_added(store: Store) -> bool:
    """Say whether this is no state of its own, but that of a CA that was added to one."""
    return bool(store.meta(_KIND) == ADDED)


def make_added(store: Store) -> None:
    """Note that this is the state of an added CA, in the transaction that makes it."""
    store.set_meta(_KIND, ADDED)


def is_below_root(store: Store) -> bool:
    """Say whether the state was made to be certified by a root before anything of it goes out, as the trail tells."""
    return _is_told(tuple(detail for _, command, detail in store.small(audit.TOLD_CAS) if command == "init-ca"))


@lru_cache(maxsize=4)
def _is_told(details: tuple[object, ...]) -> bool:
    for detail in details:
        try:
            said = json.loads(detail) if isinstance(detail, str) else {}
        except ValueError:  # somebody edited it
            continue
        if isinstance(said, dict) and said.get(BELOW_ROOT) is True:
            return True
    return False


def is_stations(path: str) -> bool:
    """Say whether a file is the database of a CA's state, and not an office's registry; looked at without a change."""
    if not os.path.isfile(path):
        return False
    try:
        with contextlib.closing(sqlite3.connect(Path(os.path.abspath(path)).as_uri() + "?mode=ro", uri=True)) as found:
            return found.execute("SELECT 1 FROM sqlite_master WHERE name = 'audit'").fetchone() is not None
    except sqlite3.Error:
        return False
