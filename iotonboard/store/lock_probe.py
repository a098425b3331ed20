"""Whether SQLite's lock keeps others out where the database lies: on some shares every lock succeeds."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iotonboard.store.store import Store

# The octet that a writer locks: of the wal-index (sqlite.org/walformat.html 2.3, WAL_WRITE_LOCK), or of the database
# where it has no log (sqlite.org/fileformat.html 1.2, RESERVED).
_WAL_WRITE, _RESERVED = ("-shm", 120), ("", (1 << 30) + 1)
_TAKEN = 17


def lock_keeps_others_out(store: Store) -> bool | None:
    """Inside a transaction: try whether a child process can take the write lock that this one holds.

    ``None`` where it could not be tried: the system has no fork, or refuses it.
    """
    is_log = str(store.row("PRAGMA journal_mode")[0]) == "wal"
    suffix, octet = _WAL_WRITE if is_log else _RESERVED
    try:
        child = os.fork()
    except (AttributeError, OSError):
        return None
    if child == 0:
        os._exit(_try_lock(store.path + suffix, octet))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != _TAKEN


def _try_lock(path: str, octet: int) -> int:
    """In the child, which must not touch SQLite: that knows in its memory what the parent holds."""
    try:
        fcntl = import_module("fcntl")
        fcntl.lockf(os.open(path, os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, octet)
    except BaseException:  # whatever it is, the child ends and the lock was not taken
        return 0
    return _TAKEN
