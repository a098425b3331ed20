"""What SQLite refuses, told in the program's own errors: nothing else of SQLite leaves the store."""

from __future__ import annotations

import sqlite3

from iotonboard.disk.owner import chown_hint
from iotonboard.errors import BusyError, ConflictError, DamageError, IotOnboardError, PolicyError, StateError

_RESTORE = "restore it from the latest backup"


def database_error(error: sqlite3.Error, path: str) -> IotOnboardError:
    """The program's own error for one of SQLite's.

    Raises:
        sqlite3.Error: the same one again, where the program called SQLite wrongly: a defect.
    """
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError | sqlite3.NotSupportedError):
        raise error
    extended = getattr(error, "sqlite_errorcode", 0)
    code = extended & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return BusyError(
            "another iotonboard command holds the state",
            hint="wait for it and try again, or raise 'busy_timeout_seconds' in the configuration",
        )
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        return BusyError(
            f"the database {path!r} cannot be used: {error}",
            hint=next(filter(None, map(chown_hint, (path, f"{path}-wal", f"{path}-shm"))), "")
            or "check free space and permissions of its folder; nothing was changed, run the command again",
        )
    if code == sqlite3.SQLITE_CONSTRAINT:
        return _refused(error, extended)
    if code == sqlite3.SQLITE_ERROR and "no such" in str(error):
        return StateError(f"the database {path!r} lacks a part: {error}", hint=_RESTORE)
    kind = DamageError if code == sqlite3.SQLITE_CORRUPT else StateError
    return kind(f"the database {path!r} is damaged: {error}", hint=_RESTORE)


def _refused(error: sqlite3.Error, extended: int) -> IotOnboardError:
    """A value that cannot be, or one that is there already."""
    if extended in (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY):
        return ConflictError(f"the database has that already: {error}", hint="'iotonboard health --deep' looks at it")
    return PolicyError(f"the database refuses a value: {error}", hint="'iotonboard health --deep' looks at it")


def row_error(error: Exception, path: str) -> StateError:
    """The error for a row that no version of the program writes."""
    return StateError(f"the database {path!r} holds a row that cannot be: {error}", hint="type: iotonboard health")
