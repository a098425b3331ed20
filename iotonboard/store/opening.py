"""How a database is opened: to write, and where its disk cannot be written, to read alone.

SQLite reads a database with a write-ahead log only where it can write beside it, for it keeps there what its processes
share. On a disk that is read-only it is opened as *immutable*: without looking for a log, which is right as long as
there is none. A log that is there, as a crash leaves it, holds committed rows: then its index is read as it lies on
the disk, or, where that is missing too, database and log are copied to a temporary folder and folded there. The same is
done for a state of an older version, whose migration cannot be written.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from iotonboard.errors import StateError
from iotonboard.store import leftovers
from iotonboard.store.schema.migrations import is_newest, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator


def connect(path: str, *, timeout_s: float, now: int, create: bool = False) -> sqlite3.Connection:
    """Open a database to write, of the newest schema when this returns; ``now`` in seconds since 1970.

    Raises:
        StateError: it is none of this program's, or of a newer version.
        sqlite3.Error: SQLite refuses.
        OSError: the disk refuses.
    """
    if create and not os.path.exists(path):
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    connection = _connection(path, timeout_s)
    # FULL: a COMMIT that returned survives a power cut. secure_delete: erased rows leave no octets.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    # A group of a batch touches some thousand pages; what does not fit is written twice and read again.
    connection.execute("PRAGMA cache_size = -16384")
    # A device's certificate row has 750 to 900 octets: of half as large pages each would leave a sixth empty.
    connection.execute("PRAGMA page_size = 8192")  # of a database that is made; one that is there keeps its own
    connection.execute("PRAGMA wal_autocheckpoint = 2000")  # pages: pages that many rows share are copied once
    migrate(connection, now, create=create)
    connection.execute("PRAGMA foreign_keys = ON")
    if create:
        connection.execute("PRAGMA journal_mode = WAL")
    return connection


def move_logs_aside(path: str) -> tuple[str, ...]:
    """Give another database's logs beside ``path``, and what is no file there, other names; returns these.

    Raises:
        OSError: the disk refuses; nothing was opened.
    """
    strange = no_files(path)
    if not (strange or os.path.exists(f"{path}-wal") or os.path.exists(f"{path}-journal")):
        return ()
    return leftovers.move_aside(path, strange)


def no_files(path: str) -> list[str]:
    """What stands where SQLite keeps its own files beside a database and is none; it would wait for a FIFO for ever."""
    found = []
    for one in (f"{path}-wal", f"{path}-shm", f"{path}-journal"):
        with contextlib.suppress(OSError):
            if not stat.S_ISREG(os.lstat(one).st_mode):  # SQLite follows no link there
                found.append(one)
    return found


def refuse_no_file(path: str) -> None:
    """Never open what is no plain file: a FIFO would wait for somebody who writes.

    Raises:
        StateError: it is a folder, a FIFO, a device or a link that leads nowhere; nothing at all may be there.
    """
    if os.path.lexists(path) and not os.path.isfile(path):
        raise StateError(f"the database {path!r} is not a plain file", hint="bring the file back from a backup")


def can_be_written(path: str) -> bool:
    """Say whether a database and the folder that it lies in can be written."""
    return os.access(path, os.W_OK) and os.access(os.path.dirname(os.path.abspath(path)), os.W_OK)


def connect_to_read(path: str, *, timeout_s: float, now: int) -> sqlite3.Connection:
    """Open a database whose disk cannot be written; raises as ``connect``."""
    _refuse_no_files(path)
    if _size(f"{path}-wal") == 0 or os.path.exists(f"{path}-shm"):
        if _size(f"{path}-wal"):
            with _copied(path) as copy:
                _refuse_foreign_log(path, copy)
        connection = connect_to_look(path, timeout_s=timeout_s)
        if is_newest(connection):
            return connection
        connection.close()
    with _copied(path) as copy:
        _refuse_foreign_log(path, copy)
        connection = _connection(copy, timeout_s)
        migrate(connection, now, create=False)
        connection.execute("PRAGMA journal_mode = DELETE")  # folds the log into the database
        connection.close()
        connection = _connection(copy, timeout_s, "immutable=1")
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()  # opens the file, whose name goes now
        return connection


def _refuse_foreign_log(path: str, copy: str) -> None:
    """Refuse to read rows of another database as if they were of this one: nothing can be moved aside here."""
    if _size(f"{copy}-wal") and leftovers.has_foreign_log(copy):
        raise StateError(
            f"beside {path!r} lies the log of another database, and its disk cannot be written",
            hint="make its disk writable: then any command moves that log aside; or copy the state without it",
        )


def connect_to_look(path: str, *, timeout_s: float) -> sqlite3.Connection:
    """Open a database for reading alone: as it is, of whatever version.

    Raises:
        StateError: no plain file stands there, or beside it where SQLite keeps its log.
        sqlite3.Error: there is none, or it cannot be read.
    """
    refuse_no_file(path)
    _refuse_no_files(path)
    is_still = not can_be_written(path) and _size(f"{path}-wal") == 0
    return _connection(path, timeout_s, "immutable=1" if is_still else "mode=ro")


def _refuse_no_files(path: str) -> None:
    if strange := no_files(path):
        raise StateError(
            f"{strange[0]!r}, which SQLite would open beside the database, is no file",
            hint="'iotonboard health' moves it aside; where the disk cannot be written, copy the state without it",
        )


@contextlib.contextmanager
def _copied(path: str) -> Iterator[str]:
    """Database and log in a folder of their own, which only this user can enter."""
    with tempfile.TemporaryDirectory(prefix="iotonboard-", ignore_cleanup_errors=True) as folder:
        copy = os.path.join(folder, "devices.db")
        for suffix in ("", "-wal"):
            if os.path.exists(path + suffix):
                shutil.copyfile(path + suffix, copy + suffix)
        yield copy


def _connection(path: str, timeout_s: float, options: str = "") -> sqlite3.Connection:
    address = f"{Path(path).absolute().as_uri()}?{options}" if options else path
    connection = sqlite3.connect(address, uri=bool(options), timeout=timeout_s, isolation_level=None)
    connection.text_factory = _readable
    return connection


def _size(path: str) -> int:
    return os.path.getsize(path) if os.path.exists(path) else 0


def _readable(octets: bytes) -> str:
    """Text that somebody wrote into the database and that is not UTF-8 is shown as far as it can be read."""
    return octets.decode("utf-8", "replace")
