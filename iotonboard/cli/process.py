"""The program as a process: a shell loop pays for its beginning and its end once for each device.

It begins with few looks for unused objects, and with modules that are read from their files once something in them is
used. It ends without taking its objects apart one by one.
"""

from __future__ import annotations

import gc
import os
import sys
from importlib.machinery import PathFinder
from importlib.util import LazyLoader
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec

# What typer, 'shutil', 'email' and the settings import and hardly ever use: together 5 ms of processor time per call.
# The database's migrations take another 7 ms.
SELDOM = (
    "bz2", "iotonboard.store.schema.version_1", "iotonboard.store.schema.version_2", "locale", "lzma", "ntpath",
    "shellingham", "socket", "textwrap", "tomllib",
)  # fmt: skip
_OBJECTS_BETWEEN_COLLECTIONS = 100_000  # Python looks after 700 new ones, dozens of times while modules are loaded


class _SeldomFinder:
    """Asked first by the import system."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, _target: object = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name in SELDOM else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def begin() -> None:
    """Prepare a fresh process, before anything large is imported."""
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    sys.meta_path.insert(0, _SeldomFinder)


def end(exit_code: int) -> NoReturn:
    """End the process; files and database are closed by then, and worker processes have ended."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(exit_code)  # which says what is wrong with the stream
    os._exit(exit_code)
