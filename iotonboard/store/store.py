"""The database's connection and its one lock.

``Store.transaction()`` is ``BEGIN IMMEDIATE``: SQLite's write lock is the only lock of the program.
Everything that writes does so inside it; readers never wait.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING, Any

from iotonboard.errors import BusyError, IotOnboardError, StateError
from iotonboard.model import to_epoch
from iotonboard.store import schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from typing import Self

    from iotonboard.store.audit import AuditHead


def database_error(error: sqlite3.Error, path: str) -> IotOnboardError:
    """Turn SQLite's error into the program's own."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return BusyError(
            "another iotonboard command holds the state",
            hint="wait for it and try again, or raise 'busy_timeout_seconds' in the configuration",
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StateError(f"the database {path!r} is damaged: {error}", hint="restore it from the latest backup")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        return BusyError(
            f"the database {path!r} cannot be used: {error}",
            hint="check free space and permissions of its folder; nothing was changed, run the command again",
        )
    if code == sqlite3.SQLITE_ERROR and "no such" in str(error):
        return StateError(f"the database {path!r} lacks a part: {error}", hint="restore it from the latest backup")
    raise error


class Store:
    """One connection to ``devices.db``.

    ``trail_head`` is the newest row of the audit trail as long as the open transaction knows it, else ``None``.
    """

    def __init__(self, path: str, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection = connection
        self.trail_head: AuditHead | None = None

    @classmethod
    def open(cls, path: str, *, timeout_s: float, now: datetime, create: bool = False) -> Self:
        """Open the database, or make it when ``create`` says so.

        Raises:
            StateError: there is none, it is damaged, or a newer version made it.
            BusyError: locked for longer than ``timeout_s``, or the disk refuses.
        """
        if not create and not os.path.exists(path):
            raise StateError(f"there is no database {path!r}", hint="'iotonboard init-ca' makes a new state directory")
        try:
            if create and not os.path.exists(path):
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            connection = sqlite3.connect(path, timeout=timeout_s, isolation_level=None)
            # FULL: a COMMIT that returned survives a power cut. secure_delete: erased rows leave no octets.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")
            # A group of a batch touches some thousand pages; what does not fit is written twice and read again.
            connection.execute("PRAGMA cache_size = -16384")
            connection.execute("PRAGMA wal_autocheckpoint = 4000")  # pages: pages that many rows share are copied once
            schema.migrate(connection, to_epoch(now), create=create)
            if create:
                connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.Error as error:
            raise database_error(error, path) from error
        except OSError as error:
            raise BusyError(f"cannot open {path!r}: {error.strerror}", hint="check its permissions") from error
        return cls(path, connection)

    def close(self) -> None:
        """Close the connection; SQLite folds its log into the database when this is the last one."""
        self.connection.close()

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """Hold the write lock; COMMIT at the end, ROLLBACK when anything is raised.

        With ``durable`` false a power cut may undo the COMMIT, and no earlier one: for notes of what was published,
        without which the next command does it again.
        """
        try:
            if not durable:
                self.connection.execute("PRAGMA synchronous = NORMAL")
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise database_error(error, self.path) from error
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException as error:
            self._roll_back()
            if isinstance(error, sqlite3.Error):
                raise database_error(error, self.path) from error
            raise
        finally:
            self.trail_head = None
            if not durable:
                self.connection.execute("PRAGMA synchronous = FULL")

    def _roll_back(self) -> None:
        """Undo the open transaction; SQLite did it by itself when the disk refused, and never keeps a part of it."""
        if self.connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """See one consistent state through several queries, without keeping writers waiting."""
        self.connection.execute("BEGIN")
        try:
            yield
        except sqlite3.Error as error:
            raise database_error(error, self.path) from error
        finally:
            self._roll_back()

    @contextlib.contextmanager
    def without_waiting(self) -> Iterator[None]:
        """For the block, give up at once when another command holds the lock."""
        wait_ms = self.connection.execute("PRAGMA busy_timeout").fetchone()[0]
        self.connection.execute("PRAGMA busy_timeout = 0")
        try:
            yield
        finally:
            self.connection.execute(f"PRAGMA busy_timeout = {wait_ms:d}")

    @contextlib.contextmanager
    def savepoint(self) -> Iterator[None]:
        """Inside a transaction: undo what the block did, and nothing else, when it raises."""
        self.connection.execute("SAVEPOINT row")
        try:
            yield
        except BaseException:
            self.trail_head = None
            if self.connection.in_transaction:  # a full disk ends the transaction with all its savepoints
                self.connection.execute("ROLLBACK TO row")
                self.connection.execute("RELEASE row")
            raise
        self.connection.execute("RELEASE row")

    def rows(self, query: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> list[Any]:
        """All rows of a query."""
        try:
            return self.connection.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise database_error(error, self.path) from error

    def row(self, query: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> Any:
        """The first row of a query, or ``None``."""
        try:
            return self.connection.execute(query, parameters).fetchone()
        except sqlite3.Error as error:
            raise database_error(error, self.path) from error

    def meta(self, key: str) -> Any:
        """A single value, or ``None``."""
        row = self.row("SELECT value FROM meta WHERE key = ?", (key,))
        return row[0] if row else None

    def set_meta(self, key: str, value: float | str | bytes) -> None:
        """Write a single value."""
        self.connection.execute(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, value),
        )

    def copy_to(self, path: str) -> None:
        """Write a consistent copy into the empty file ``path``, while others go on writing.

        Raises:
            BusyError: the disk refuses.
        """
        try:
            self.connection.execute("VACUUM INTO ?", (path,))
        except sqlite3.Error as error:
            raise database_error(error, path) from error

    def damage(self) -> str:
        """Read the whole database through and say in one line what is damaged; empty when nothing is."""
        answer = str(self.row("PRAGMA quick_check(1)")[0])
        return "" if answer == "ok" else " ".join(answer.split())

    def keep_log(self) -> None:
        """Switch a copied database to the write-ahead log that every state uses."""
        try:
            self.connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.Error as error:
            raise database_error(error, self.path) from error
