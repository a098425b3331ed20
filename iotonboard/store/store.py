"""The database's connection and its one lock.

``Store.transaction()`` is ``BEGIN IMMEDIATE``: SQLite's write lock is the only lock of the program.
Everything that writes does so inside it; readers never wait. Each module beside this one is a subject: its functions
take a ``Store`` first, and hold the SQL of that subject.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from iotonboard.errors import BusyError, PolicyError, StateError
from iotonboard.model import LATEST, from_epoch, to_epoch
from iotonboard.store import failures, opening
from iotonboard.store.issuers import mend_numbers
from iotonboard.store.schema.views import mend_schema
from iotonboard.store.watching import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from typing import Self

    from iotonboard.store.succession import Verifies

RecordType = TypeVar("RecordType")
_Parameters: TypeAlias = "Sequence[object] | Mapping[str, object]"
_READ_ONLY = "make its disk writable (mount -o remount,rw) or copy the state; what only looks works here all the same"
_SET_META = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_LARGEST_NUMBER = 1 << 62  # leaves room to count on
_IMPOSSIBLE = (PolicyError, ValueError, TypeError, OverflowError, RecursionError)  # of a row that no version writes


class Store:
    """One connection to ``devices.db``; every error of SQLite's leaves it as one of the program's.

    ``moved_aside``: logs of another database that lay beside it. ``is_read_only``: its disk cannot be written, so no
    transaction begins. ``mended``: what of the schema was put right before a change (``schema/expected.py``), and
    ``unrecorded``: what of that the trail does not tell yet. ``is_rebuilt``: so it was tried with the indexes.
    ``first_row``, ``first_own_row``: of the trail, that this transaction, and this connection, added.
    """

    def __init__(
        self,
        path: str,
        connection: sqlite3.Connection,
        *,
        is_read_only: bool = False,
        moved_aside: tuple[str, ...] = (),
    ) -> None:
        self.path, self.moved_aside, self.is_read_only = path, moved_aside, is_read_only
        self.first_row: int | None = None
        self.first_own_row: int | None = None
        self.proven_cas = dict[int, bytes]()  # this and what proves them: see ``succession.py``
        self.verifies: Verifies | None = None
        self._connection = connection
        self.mended, self.unrecorded, self.is_rebuilt, self._watch = list[str](), list[str](), False, Watch(self)
        self._meta: dict[str, Any] | None = None  # all single values, as long as they are known
        self._small: dict[str, list[Any]] = {}  # likewise, what was asked of tables of few rows
        self._seen_version: int | None = None  # what is known is of this state of the database
        self._mended_schema: int | None = None  # number of the schema that was looked at

    @classmethod
    def open(cls, path: str, *, timeout_s: float, now: datetime, create: bool = False) -> Self:
        """Open the database, or make it when ``create`` says so; to read alone, where it cannot be written.

        Raises:
            StateError: there is none, it is damaged, or a newer version made it.
            BusyError: locked for longer than ``timeout_s``, or the disk refuses.
        """
        if not create and not os.path.exists(path):
            raise StateError(f"there is no database {path!r}", hint="'iotonboard init-ca' makes a new state directory")
        opening.refuse_no_file(path)
        moment = to_epoch(now)
        try:
            if not create and not opening.can_be_written(path):
                return cls(path, opening.connect_to_read(path, timeout_s=timeout_s, now=moment), is_read_only=True)
            moved = () if create else opening.move_logs_aside(path)
            return cls(path, opening.connect(path, timeout_s=timeout_s, now=moment, create=create), moved_aside=moved)
        except sqlite3.Error as error:
            raise failures.database_error(error, path) from error
        except OSError as error:
            raise BusyError(f"cannot open {path!r}: {error.strerror}", hint="check its permissions") from error

    @classmethod
    def open_to_look(cls, path: str, *, timeout_s: float) -> Self:
        """Open a database for reading alone: as it is, of whatever version.

        Raises:
            BusyError: there is none, or it cannot be read.
            StateError: it is no plain file.
        """
        try:
            return cls(path, opening.connect_to_look(path, timeout_s=timeout_s), is_read_only=True)
        except sqlite3.Error as error:
            raise failures.database_error(error, path) from error

    def close(self) -> None:
        """Close the connection; SQLite folds its log into the database when this is the last one."""
        self._connection.close()

    def check_writable(self) -> None:
        """Make sure that a transaction can begin; where only reading is possible, SQLite would let one begin.

        Raises:
            BusyError: the disk cannot be written.
        """
        if self.is_read_only:
            raise BusyError(f"nothing was changed: {self.path!r} cannot be written", hint=_READ_ONLY)

    # -- transactions -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """Hold the write lock; COMMIT at the end, ROLLBACK when anything is raised.

        Without ``durable`` a power cut may undo the COMMIT alone: for notes without which the next command acts anew.

        Raises:
            BusyError: another command holds the lock, or the disk cannot be written.
        """
        self.check_writable()
        self._watch.begin()
        if not durable:
            self.execute("PRAGMA synchronous = NORMAL")
        try:
            self.execute("BEGIN IMMEDIATE")
            self._forget_if_changed()
            self._mend()
            yield
            self.execute("COMMIT")
        except BaseException:
            self._roll_back()
            self._forget()
            self.unrecorded.clear()
            raise
        finally:
            self.first_row = None
            if not durable:
                self.execute("PRAGMA synchronous = FULL")

    def _mend(self) -> None:
        """Put right what no change can begin with; not the schema that was looked at before."""
        mended, number = mend_numbers(self), int(self.row("PRAGMA schema_version")[0])
        if number != self._mended_schema:
            self._mended_schema = None if (changed := mend_schema(self)) else number
            mended += changed
        self.unrecorded += mended
        self.mended += mended

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """See one consistent state through several queries, without keeping writers waiting."""
        self.execute("BEGIN")
        try:
            self._forget_if_changed()
            yield
        finally:
            self._roll_back()

    @contextlib.contextmanager
    def savepoint(self) -> Iterator[None]:
        """Inside a transaction: undo what the block did, and nothing else, when it raises."""
        self.execute("SAVEPOINT row")
        try:
            yield
        except BaseException:
            self._forget()
            if self._connection.in_transaction:  # a full disk ends the transaction with all its savepoints
                self.execute("ROLLBACK TO row")
                self.execute("RELEASE row")
            raise
        self.execute("RELEASE row")

    def _roll_back(self) -> None:
        """Undo the open transaction; SQLite did it by itself when the disk refused, and never keeps a part of it."""
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _forget(self) -> None:
        """Drop what is known of the database."""
        self._meta = None
        self._small.clear()
        self._watch.forget()

    def _forget_if_changed(self) -> None:
        """Drop what is known when another connection has written since (SQLite, ``PRAGMA data_version``)."""
        version = int(self.row("PRAGMA data_version")[0])
        if version != self._seen_version:
            self._forget()
            self._seen_version = version

    @contextlib.contextmanager
    def without_waiting(self) -> Iterator[None]:
        """For the block, give up at once when another command holds the lock."""
        wait_ms = int(self.row("PRAGMA busy_timeout")[0])
        self.execute("PRAGMA busy_timeout = 0")
        try:
            yield
        finally:
            self.execute(f"PRAGMA busy_timeout = {wait_ms:d}")

    @property
    def in_transaction(self) -> bool:
        """Say whether a transaction is open: what was read in it stays as it is, but for its own changes."""
        return self._connection.in_transaction

    @property
    def changes(self) -> int:
        """How often this connection changed a row of any table: where that is as before, nothing was changed."""
        return self._connection.total_changes

    # -- statements: for the modules of the store alone ---------------------------------------------------------------

    def execute(self, statement: str, parameters: _Parameters = ()) -> sqlite3.Cursor:
        """Run one statement.

        Raises:
            PolicyError: a parameter is a text that is not UTF-8, or a number of more than 64 bits.
        """
        self._watch.before(statement)
        try:
            return self._connection.execute(statement, parameters)
        except sqlite3.Error as error:
            raise failures.database_error(error, self.path) from error
        except (OverflowError, UnicodeEncodeError) as error:
            raise PolicyError(f"the database cannot hold a value: {error}", hint="choose another one") from error

    def execute_many(self, statement: str, parameters: Iterable[Sequence[object]]) -> None:
        """Run one statement for many parameters."""
        self._watch.before(statement)
        try:
            self._connection.executemany(statement, parameters)
        except sqlite3.Error as error:
            raise failures.database_error(error, self.path) from error

    def rows(self, query: str, parameters: _Parameters = ()) -> list[Any]:
        """All rows of a query."""
        return list(self.each_row(query, parameters))

    def row(self, query: str, parameters: _Parameters = ()) -> Any:
        """The first row of a query, or ``None``."""
        return next(self.each_row(query, parameters), None)

    def each_row(self, query: str, parameters: _Parameters = ()) -> Iterator[Any]:
        """The rows of a query one by one, for those that do not fit into memory."""
        try:
            for row in self.execute(query, parameters):  # noqa: UP028
                yield row  # "yield from" closes the cursor of one that was left, of a closed database too
        except sqlite3.Error as error:
            raise failures.database_error(error, self.path) from error

    def records(self, make: Callable[..., RecordType], query: str, parameters: _Parameters = ()) -> list[RecordType]:
        """A record for each row of a query, made of the row's columns.

        Raises:
            StateError: a row holds what cannot be.
        """
        return list(self.each(make, query, parameters))

    def record(self, make: Callable[..., RecordType], query: str, parameters: _Parameters = ()) -> RecordType | None:
        """The record of a query's first row, or ``None``; errors as ``records``."""
        row = self.row(query, parameters)
        return None if row is None else self.make_record(make, row)

    def each(self, make: Callable[..., RecordType], query: str, parameters: _Parameters = ()) -> Iterator[RecordType]:
        """Records one by one; errors as ``records``."""
        for row in self.each_row(query, parameters):
            yield self.make_record(make, row)

    def make_record(self, make: Callable[..., RecordType], row: Sequence[Any]) -> RecordType:
        """The record of a row that was read before; errors as ``records``."""
        try:
            return make(*row)
        except _IMPOSSIBLE as error:
            raise failures.row_error(error, self.path) from error

    # -- single values ------------------------------------------------------------------------------------------------

    def look_again(self) -> None:
        """Drop what is known and not true any more; an open transaction sees nothing that others change."""
        if not self._connection.in_transaction:
            self._forget_if_changed()

    def small(self, query: str) -> list[Any]:
        """All rows of a query on a table of few rows that is asked often: from memory, until somebody changes it."""
        self.look_again()
        if query not in self._small:
            self._small[query] = self.rows(query)
        return self._small[query]

    def know_small(self, query: str, rows: list[Any]) -> None:
        """Know what the open transaction made of the rows that a query of ``small`` finds."""
        self._small[query] = rows

    def forget_small(self, query: str) -> None:
        """Ask anew from now on: the open transaction changes what a query of ``small`` found."""
        self._small.pop(query, None)

    def meta(self, key: str) -> Any:
        """A single value, or ``None``; all of them are read at once, and known until somebody changes one."""
        self.look_again()
        if self._meta is None:
            self._meta = dict(self.rows("SELECT key, value FROM meta"))
        return self._meta.get(key)

    def number(self, key: str) -> int | None:
        """A single value that is a whole number; ``None`` where there is none, or one that cannot be.

        So that nothing that somebody wrote there stops a revocation; ``health`` names it.
        """
        value = self.meta(key)
        return value if isinstance(value, int) and 0 <= value <= _LARGEST_NUMBER else None

    def moment(self, key: str) -> datetime | None:
        """A single value that is a time; ``None`` as for ``number``."""
        value = self.number(key)
        return None if value is None or value > LATEST else from_epoch(value)

    def set_meta(self, key: str, value: float | str | bytes) -> None:
        """Write a single value."""
        self.execute(_SET_META, (key, value))
        if self._meta is not None:
            self._meta[key] = value

    def forget_meta(self, key: str) -> None:
        """Remove a single value."""
        self.execute("DELETE FROM meta WHERE key = ?", (key,))
        if self._meta is not None:
            self._meta.pop(key, None)

    def copy_to(self, path: str) -> None:
        """Write a consistent copy into the empty file ``path``, while others go on writing.

        Raises:
            BusyError: the disk refuses.
        """
        try:
            # Octets, since the name may be no text; SQLite wants it as one all the same.
            self._connection.execute("VACUUM INTO CAST(? AS TEXT)", (os.fsencode(path),))
        except sqlite3.Error as error:
            raise failures.database_error(error, path) from error

    def keep_log(self) -> None:
        """Switch a copied database to the write-ahead log that every state uses."""
        self.execute("PRAGMA journal_mode = WAL")
