"""A lock between processes that a crash never leaves behind: SQLite's own, on an empty database."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from iotonboard.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def exclusive(path: str, *, timeout_s: float) -> Iterator[None]:
    """Keep other processes out that ask for the same ``path``; the file is made when it is not there.

    Raises:
        BusyError: another one holds it for longer than ``timeout_s``, or the disk refuses.
    """
    with contextlib.ExitStack() as stack:
        try:
            connection = sqlite3.connect(path, timeout=timeout_s, isolation_level=None)
            stack.enter_context(contextlib.closing(connection)).execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise BusyError(f"{path!r} is busy: {error}", hint="run the same command again") from error
        yield
