"""Logs of another database beside this one, as they stay when somebody puts a copy of ``devices.db`` back by hand.

SQLite trusts any ``-wal`` that is whole in itself and any ``-journal`` that is not empty: it would write their pages
over this database. So a log is held against the database first, read through it without writing anything. It is another
one's only when that is certain: the first CA is another one, the audit trail does not go on from the last row of the
database, or changes in between are missing. A log that a crash left is never moved, nor one that another command uses.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

try:
    import fcntl
except ImportError:  # Windows, which renames no file that another process has open
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Octets of a write-ahead log and of the head of its frames (SQLite file format, section 4).
_HEADER, _FRAME_HEADER, _PAGE_SIZE, _SALTS, _FRAME_SALTS = 32, 24, slice(8, 12), slice(16, 24), slice(8, 16)
_COUNTER = slice(24, 28)  # of a database's first page: the file change counter
_MODE, _WAL_MODE = slice(18, 20), b"\x02\x02"  # how it is written and read
_NO_DATABASE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)  # the last one: no such table
_FIRST_FRAMES = 4096  # a log's first change of page 1 stands near its beginning
_IN_USE = 128  # octet of the log's index that every process with an open connection holds a shared lock on


@dataclass(frozen=True, slots=True)
class _Identity:
    """What a database is known by: its first CA, its vault, and the newest row of its trail, device and certificate."""

    issuer: bytes
    vault: tuple[bytes] | None
    seq: int
    hash: bytes
    device: int
    certificate: int


def move_aside(path: str, no_files: Iterable[str]) -> tuple[str, ...]:
    """Give the logs of another database beside ``path`` other names, and to what is no file there; returns these.

    Raises:
        OSError: the disk refuses; nothing was opened.
    """
    moved = [_move(one) for one in no_files]  # which no process can have open as its own
    log, journal = f"{path}-wal", f"{path}-journal"
    suspects = [one for one in (journal, log) if os.path.exists(one) and os.path.getsize(one) > _HEADER]
    own = _own_identity(path) if suspects else None
    if own is None:  # nothing is there, or nobody can tell whose it is
        return tuple(moved)
    if journal in suspects and _head(path)[_MODE] == _WAL_MODE:
        moved += _rename(path, journal)
    if log in suspects and _is_foreign(path, own):
        moved += _rename(path, log, f"{path}-shm")
    return tuple(moved)


def has_foreign_log(path: str) -> bool:
    """Say whether the write-ahead log beside a database is certainly another one's; its folder can be written."""
    own = _own_identity(path)
    return own is not None and _is_foreign(path, own)


def _rename(path: str, *logs: str) -> list[str]:
    """Give logs names that nobody looks for, unless the database is in use: then they are somebody's."""
    moved: list[str] = []
    with _nobody_uses(f"{path}-shm") as is_unused:
        moved += [_move(log) for log in filter(os.path.exists, logs if is_unused else ())]
    return moved


def _move(log: str) -> str:
    number = 1
    while os.path.lexists(f"{log}.moved-{number}"):
        number += 1
    Path(log).rename(f"{log}.moved-{number}")  # a free name: nothing is replaced
    return f"{log}.moved-{number}"


@contextlib.contextmanager
def _nobody_uses(index: str) -> Iterator[bool]:
    """Say whether no process has the database open with its log, and keep others out for the block."""
    if fcntl is None or not os.path.exists(index):
        yield True
        return
    with open(index, "r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _IN_USE)
        except OSError:
            yield False
        else:
            yield True


def _is_foreign(path: str, own: _Identity) -> bool:
    first = _first_counter(f"{path}-wal")
    if first is not None and first > int.from_bytes(_head(path)[_COUNTER]) + 1:
        return True  # of a later time of this database: the changes in between are in neither of the two
    try:
        with _reading(path, "mode=ro") as connection:
            seen = _identity(connection)
            if (seen.issuer, _goes_on(connection, own)) != (own.issuer, True):
                return True
            rows = seen.seq - own.seq  # every new device and certificate has its row in the trail
            is_told = rows >= max(seen.device - own.device, seen.certificate - own.certificate)
            return not is_told or (rows == 0 and seen.vault != own.vault)
    except TypeError:  # a row is missing that every state has
        return True
    except sqlite3.DatabaseError as error:
        return error.sqlite_errorcode & 0xFF in _NO_DATABASE


def _own_identity(path: str) -> _Identity | None:
    """What the database says without its log; ``None`` when it cannot be read without."""
    with contextlib.suppress(sqlite3.DatabaseError, TypeError), _reading(path, "immutable=1") as connection:
        return _identity(connection)
    return None


@contextlib.contextmanager
def _reading(path: str, options: str) -> Iterator[sqlite3.Connection]:
    address = f"{Path(path).absolute().as_uri()}?{options}"
    with contextlib.closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
        yield connection


def _identity(connection: sqlite3.Connection) -> _Identity:
    (issuer,) = connection.execute("SELECT der FROM issuer ORDER BY id LIMIT 1").fetchone()
    vault = connection.execute("SELECT value FROM meta WHERE key = 'vault'").fetchone()
    seq, newest = connection.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    query = "SELECT coalesce((SELECT max(id) FROM device), 0), coalesce((SELECT max(id) FROM certificate), 0)"
    return _Identity(issuer, vault, seq, newest, *connection.execute(query).fetchone())


def _goes_on(connection: sqlite3.Connection, own: _Identity) -> bool:
    """Say whether the trail has the row that was the newest one, and every row behind it."""
    if connection.execute("SELECT hash FROM audit WHERE seq = ?", (own.seq,)).fetchone() != (own.hash,):
        return False
    query = "SELECT count(*), max(seq) FROM audit WHERE seq > ?"
    count, last = connection.execute(query, (own.seq,)).fetchone()
    return not count or last == own.seq + count


def _head(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(100)


def _first_counter(log: str) -> int | None:
    """The change counter that a log gives to page 1 first; ``None`` when it does not change that page."""
    with open(log, "rb") as file:
        header = file.read(_HEADER)
        page_size = int.from_bytes(header[_PAGE_SIZE])
        for _ in range(_FIRST_FRAMES):
            frame = file.read(_FRAME_HEADER)
            if (
                len(frame) < _FRAME_HEADER or frame[8:16] != header[16:24]
            ):  # salts: what an earlier use of the file left
                return None
            if frame[:4] == b"\0\0\0\1":
                return int.from_bytes(file.read(28)[_COUNTER])
            file.seek(page_size, os.SEEK_CUR)
    return None
