"""The program as a process: begun and ended with as little work as it needs, for a shell loop pays both every time."""

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

# Imported by the libraries and the standard library, and hardly ever used by what this program calls in them.
SELDOM = (
    "ast", "bz2", "fnmatch", "ipaddress", "linecache", "locale", "lzma", "ntpath", "platform", "random", "selectors",
    "shellingham", "shutil", "socket", "subprocess", "textwrap", "tokenize",
)  # fmt: skip
_OBJECTS_BETWEEN_COLLECTIONS = 100_000


class _SeldomFinder:
    """What the import system asks first: a module of ``SELDOM`` is read from its file when it is used."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, _target: object = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name in SELDOM else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def begin() -> None:
    """Prepare a fresh process, before anything large is imported.

    Python looks for unused objects after each 700 new ones, dozens of times while modules are loaded that all stay
    in use. A long batch is still cleared of them, in larger portions.
    """
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    sys.meta_path.insert(0, _SeldomFinder)


def end(exit_code: int) -> NoReturn:
    """End the process.

    Taking ten thousand objects apart one by one costs more than the rest of a small command, and the system frees
    the memory anyway. Files and database are closed by then, and worker processes have ended.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(exit_code)  # which says what is wrong with the stream
    os._exit(exit_code)
