"""The connection to a registry, its one lock, and both engines behind it.

A change locks one row first (``turn``): in SQLite the whole file is locked with it, in PostgreSQL that row alone, so
readers never wait. Statements are written with ``?``; what the engines say differently stands in ``schema.py``.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from importlib import import_module
from typing import TYPE_CHECKING, Any

from iotonboard.errors import BusyError, PolicyError, StateError, UsageError
from iotonboard.store import failures
from iotonboard.store.registry import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Self

SQLITE, POSTGRESQL = "sqlite", "postgresql"
_EXTRA = "install the extra 'postgres' (psycopg 3): see 'iotonboard help office'"
_LOOK = "'iotonboard health' looks at it"
_WAIT = "check that the server runs and can be reached, and try again; nothing was changed"


class Registry:
    """One connection. ``engine`` is ``sqlite`` or ``postgresql``; ``place`` names it without its password."""

    def __init__(self, connection: Any, engine: str, place: str) -> None:
        self._connection, self.engine, self.place = connection, engine, place
        self._gathers = False
        self._gathered: list[tuple[str, Sequence[Sequence[object]]]] = []
        self._named = 0

    @classmethod
    def open(cls, url: str, *, timeout_s: float, create: bool = False) -> Self:
        """Open the registry that a ``sqlite:///`` (an absolute path) or ``postgresql://`` URL names.

        ``create``: make its tables where there are none.

        Raises:
            StateError: there is none, or one of a newer version.
            BusyError: the server cannot be reached, or the disk refuses.
            UsageError: the URL is none of these, or the library for it is not installed.
        """
        engine, _, rest = url.partition("://")
        if engine == SQLITE:
            registry = cls(_open_sqlite(rest[1:], timeout_s, create=create), engine, rest[1:])
        elif engine == POSTGRESQL:
            registry = cls(_open_server(url, timeout_s), engine, without_password(url))
        else:
            raise UsageError(
                f"{engine!r} is no database that a registry can lie in", hint="sqlite:///FILE or postgresql://HOST/NAME"
            )
        try:
            registry._check_version(create=create)
        except BaseException:
            registry.close()
            raise
        return registry

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _check_version(self, *, create: bool) -> None:
        table = "sqlite_master WHERE name" if self.engine == SQLITE else "information_schema.tables WHERE table_name"
        if self.row(f"SELECT 1 FROM {table} = 'registry'") is None:
            if not create:
                raise StateError(f"there is no registry in {self.place!r}", hint="'iotonboard init-office' makes one")
            with self.transaction(is_new=True):
                for statement in schema.statements(self.engine):
                    self.execute(statement)
                self.execute("INSERT INTO turn (id, taken) VALUES (1, 0)")
                self.execute("INSERT INTO registry (key, value) VALUES ('version', ?)", (str(schema.VERSION),))
        version = int(self.value("version") or 0)
        if version > schema.VERSION:
            raise StateError(
                f"{self.place!r} is of version {version}, made by a newer program", hint="update the program here"
            )

    # -- transactions -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def transaction(self, *, is_new: bool = False) -> Iterator[None]:
        """Hold the lock; COMMIT at the end, ROLLBACK when anything is raised.

        Raises:
            BusyError: another office holds it for too long, or the connection broke: nothing was changed.
        """
        self.execute("BEGIN IMMEDIATE" if self.engine == SQLITE else "BEGIN")
        self._gathers = self.engine == POSTGRESQL
        try:
            if not is_new:
                self.execute("UPDATE turn SET taken = taken + 1 WHERE id = 1")
            yield
            self._send()
            self._gathers = False
            self.execute("COMMIT")
        except BaseException:
            self._gathered.clear()
            self._gathers = False
            with contextlib.suppress(BusyError, StateError, PolicyError):
                self.execute("ROLLBACK")
            raise

    # -- statements: for the modules of the store alone ---------------------------------------------------------------

    def execute(self, statement: str, parameters: Sequence[object] = ()) -> None:
        """Run one statement; errors as everywhere here, in a server's transaction behind the next query."""
        if self._gathers:
            self._gathered.append((self._spelled(statement), [parameters]))
            return
        with self._told():
            self._connection.execute(self._spelled(statement), parameters)

    def execute_many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement for many rows; errors as of ``execute``."""
        if self._gathers:
            self._gathered.append((self._spelled(statement), list(rows)))
            return
        with self._told():
            cursor = self._connection.cursor()
            cursor.executemany(self._spelled(statement), rows)
            cursor.close()

    def _send(self) -> None:
        """Send a server what was gathered in one go: each statement by itself would wait for its answer."""
        gathered, self._gathered = self._gathered, []
        if gathered:
            with self._told(), self._connection.pipeline(), self._connection.cursor() as cursor:
                for statement, rows in gathered:
                    cursor.executemany(statement, rows)

    def learn(self) -> None:
        """Let the engine look at how its tables are filled by now, once many rows came: its plans go by that."""
        with contextlib.suppress(BusyError):  # it is no more than advice
            self.execute("PRAGMA optimize" if self.engine == SQLITE else "ANALYZE")

    def insert_many(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Insert many rows of which none is there yet, the fastest way that the engine has."""
        names = ", ".join(columns)
        if self.engine == SQLITE:
            self.execute_many(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})", rows)
            return
        self._send()
        with (
            self._told(),
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)

    def each_row(self, query: str, parameters: Sequence[object] = ()) -> Iterator[Any]:
        """The rows of a query one by one, for those that do not fit into memory; a server keeps them meanwhile."""
        self._send()
        with self._told():
            cursor = self._connection.cursor()
            if self.engine == POSTGRESQL:
                self._named += 1
                cursor = self._connection.cursor(f"rows_{self._named}", withhold=True)
            try:
                cursor.execute(self._spelled(query), parameters)
                for row in cursor:  # noqa: UP028 - the cursor is closed behind it
                    yield row
            finally:
                cursor.close()

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[Any]:
        """All rows of a query."""
        self._send()
        with self._told():
            cursor = self._connection.cursor()
            try:
                return list(cursor.execute(self._spelled(query), parameters))
            finally:
                cursor.close()

    def row(self, query: str, parameters: Sequence[object] = ()) -> Any:
        """The first row of a query, or ``None``."""
        return next(iter(self.rows(query, parameters)), None)

    def value(self, key: str) -> str | None:
        """A single value, or ``None``."""
        row = self.row("SELECT value FROM registry WHERE key = ?", (key,))
        return None if row is None else str(row[0])

    def set_value(self, key: str, value: str) -> None:
        """Write a single value."""
        self.execute(
            "INSERT INTO registry (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, value),
        )

    def _spelled(self, statement: str) -> str:
        return statement if self.engine == SQLITE else statement.replace("%", "%%").replace("?", "%s")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Every error of an engine's leaves as one of the program's."""
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise PolicyError(f"the registry {self.place!r} refuses a value: {error}", hint=_LOOK) from error
        except sqlite3.Error as error:
            raise failures.database_error(error, self.place) from error
        except Exception as error:
            if self.engine == POSTGRESQL and type(error).__module__.partition(".")[0] == "psycopg":
                raise _server_error(error, self.place) from error
            raise


def _open_sqlite(path: str, timeout_s: float, *, create: bool) -> sqlite3.Connection:
    if not create and not os.path.exists(path):
        raise StateError(f"there is no registry {path!r}", hint="'iotonboard init-office' makes one")
    try:
        if create and not os.path.exists(path):
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        connection = sqlite3.connect(path, timeout=timeout_s, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA cache_size = -16384")
    except sqlite3.Error as error:
        raise failures.database_error(error, path) from error
    except OSError as error:
        raise BusyError(f"cannot open {path!r}: {error.strerror}", hint="check its permissions") from error
    return connection


def _open_server(url: str, timeout_s: float) -> Any:
    try:
        psycopg = import_module("psycopg")
    except ImportError as error:
        raise UsageError("PostgreSQL needs a library that is not installed", hint=_EXTRA) from error
    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=max(int(timeout_s), 2))
        connection.execute(f"SET lock_timeout = '{int(timeout_s * 1000)}ms'")
    except psycopg.Error as error:
        raise _server_error(error, without_password(url)) from error
    return connection


def _server_error(error: Exception, place: str) -> BusyError | StateError | PolicyError:
    text = " ".join(str(error).split())
    state = getattr(error, "sqlstate", None) or ""
    if state.startswith(("22", "23")):
        return PolicyError(f"the registry {place!r} refuses a value: {text}", hint=_LOOK)
    if state.startswith("42"):
        return StateError(
            f"the registry {place!r} lacks a part, or a right: {text}", hint="see 'iotonboard help office'"
        )
    return BusyError(f"the registry {place!r} cannot be used: {text}", hint=_WAIT)


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    url = re.sub(r"(?i)([?&]\w*password=)[^&]*", r"\1...", url)
    head, at, rest = url.rpartition("@")
    user = head.rpartition("/")[2].partition(":")[0]
    return f"postgresql://{user}@{rest}" if at else url
