"""The program as a process: begun and ended with as little work as it needs, for a shell loop pays both every time."""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any, NoReturn

# Loaded by what the program needs, and then hardly ever used: typer's way to start a browser, the library's way to
# show source lines, compressed archives, addresses of mail in a certificate. With the settings, the broker's files
# and digests, which a look at one device can do without.
SELDOM = (
    "bz2",
    "hashlib",
    "iotonboard.brokers.mosquitto",
    "linecache",
    "locale",
    "lzma",
    "random",
    "selectors",
    "shellingham",
    "socket",
    "subprocess",
    "textwrap",
    "tokenize",
    "tomllib",
)
_OBJECTS_BETWEEN_COLLECTIONS = 100_000


class Deferred(ModuleType):
    """A module whose file is read when something in it is asked for."""

    def __getattr__(self, name: str) -> Any:
        """Turn into the module itself; asked only for what is not there yet."""
        if name.startswith("__"):
            raise AttributeError(name)  # the import system looks for '__path__'
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert self.__spec__ is not None  # noqa: S101 - narrows for the type checker
        assert self.__spec__.loader is not None  # noqa: S101
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def begin() -> None:
    """Prepare a fresh process, before anything large is imported.

    Python looks for unused objects after each 700 new ones, dozens of times while modules are loaded that all stay
    in use. A long batch is still cleared of them, in larger portions.
    """
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    for name in SELDOM:
        if name not in sys.modules:
            _defer(name)


def _defer(name: str) -> None:
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.loader is not None:
        module = Deferred(name)
        module.__spec__, module.__loader__, module.__package__ = spec, spec.loader, spec.parent
        module.__file__ = spec.origin
        if spec.submodule_search_locations is not None:
            module.__path__ = spec.submodule_search_locations
        sys.modules[name] = module


def end(exit_code: int) -> NoReturn:
    """End the process.

    Taking ten thousand objects apart one by one costs more than the rest of a small command, and the system frees
    the memory anyway. Files and database are closed by then. Where worker processes ran, Python ends in its own way.
    """
    if "multiprocessing" in sys.modules:
        sys.exit(exit_code)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(exit_code)  # which says what is wrong with the stream
    os._exit(exit_code)
