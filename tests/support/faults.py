"""What a test has happen in the process of a call: death, or a refusing disk, at its n-th step, and worse.

A step is a moment at which the program changes the world: a file opened for writing, fsync, rename, unlink, mkdir,
chmod and their like, or a writing statement for SQLite, but for one that only writes what this connection alone sees;
statements of one kind on one table count once when they come in a row, since a transaction is there whole or not at
all. Python itself tells of them (``sys.addaudithook``), whatever module they happen in; the program has no switch for
it. All of these are for ``before`` of ``State.run``: they happen
in the process that was forked for the call, which never goes back.
"""

from __future__ import annotations

import _multiprocessing
import codecs
import errno
import fcntl
import os
import re
import signal
import sqlite3
import sys
import termios
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Self

KILLED = -signal.SIGKILL
_NOBODY = 65534
_CHANGING = {f"os.{call}" for call in ("chmod", "chown", "link", "mkdir", "remove", "rename", "rmdir", "symlink")}
_STATEMENTS = (
    "BEGIN",
    "COMMIT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "PRAGMA user_version =",
    "PRAGMA journal_mode",
)
_ONE_S_OWN = re.compile(r"CREATE TEMP|[A-Z ]+ temp\.")


def in_turn(*actions: Callable[[], object]) -> Callable[[], None]:
    """Do one after the other."""
    return partial(_do_all, actions)


def _do_all(actions: Sequence[Callable[[], object]]) -> None:
    for action in actions:
        action()


def die_at(step: int) -> Callable[[], None]:
    """End the process by SIGKILL at this step."""
    return partial(_die_at, step)


def refuse_at(step: int, number: int) -> Callable[[], None]:
    """Fail as the operating system does, at this step of those with files."""
    return partial(_refuse_at, step, number)


def _die_at(step: int) -> None:
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    count = _Countdown(step, die)
    _watch_files(count)
    _watch_statements(count)
    opening = os.open

    def open_and_count(*args: Any, **options: Any) -> int:
        descriptor = opening(*args, **options)
        if _is_for_writing(args[1]):
            count()  # the file is there and empty
        return descriptor

    os.open = open_and_count


def _refuse_at(step: int, number: int) -> None:
    def refuse() -> None:
        raise OSError(number, os.strerror(number))

    _watch_files(_Countdown(step, refuse))


class _Countdown:
    def __init__(self, left: int, action: Callable[[], None]) -> None:
        self._left, self._action = left, action
        self._last = ""

    def __call__(self, statement: str = "") -> None:
        is_one_more = statement != "" and statement == self._last
        self._last = statement
        if is_one_more:
            return
        self._left -= 1
        if self._left == 0:
            self._action()


def _watch_files(step: Callable[[], None]) -> None:
    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in _CHANGING or (event == "open" and _is_for_writing(args[2])):
            step()

    sys.addaudithook(hook)
    syncing = os.fsync  # of which Python does not tell

    def count_and_sync(descriptor: int) -> None:
        step()
        syncing(descriptor)

    os.fsync = count_and_sync


def _is_for_writing(flags: int) -> bool:
    return bool(flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR))


def _watch_statements(step: Callable[[str], None], beginnings: tuple[str, ...] = _STATEMENTS) -> None:
    def trace(statement: str) -> None:
        if statement.startswith(beginnings) and not _ONE_S_OWN.match(statement):
            step(" ".join(statement.split(None, 3)[:3]))  # such as INSERT INTO device

    connecting = sqlite3.connect

    def connect_and_trace(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connecting(*args, **options)
        connection.set_trace_callback(trace)
        return connection

    sqlite3.connect = connect_and_trace


def count_transactions(path: str) -> Callable[[], None]:
    """Write a word into this file for each transaction that is begun."""
    return partial(_count_transactions, path)


def _count_transactions(path: str) -> None:
    file = open(path, "w", buffering=1)  # noqa: SIM115 - for as long as the process lives

    def step(_statement: str) -> None:
        file.write("begun\n")

    _watch_statements(step, ("BEGIN",))


def become_nobody() -> None:
    """Go on as a user whom nothing belongs to; only root can."""
    become(_NOBODY)


def become(user: int) -> None:
    """Go on as another user, by number; only root can. Python itself may lie where only root can read."""
    for name in ("_strptime", "ctypes", "importlib.readers", "tomllib"):
        _ = import_module(name).__doc__  # which loads what waits for its first use
    codecs.lookup("cp437")  # of the names in a ZIP
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def own_the_terminal() -> None:
    """Be what a person started on the terminal that the streams are: its keys reach this process."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number, (name, mode) in enumerate({"stdin": "r", "stdout": "w", "stderr": "w"}.items()):
        setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - as Python begins


def refuse_to_read(path: Path) -> Callable[[], None]:
    """Have the disk fail at this file, and at no other, when it is read."""
    return partial(_refuse_to_read, str(path))


def _refuse_to_read(path: str) -> None:
    opening = os.open

    def open_or_fail(name: Any, flags: int, *args: Any, dir_fd: int | None = None, **options: Any) -> int:
        folder = os.readlink(f"/proc/self/fd/{dir_fd}") if dir_fd is not None else ""
        if os.path.join(folder, os.fspath(name)) == path and not _is_for_writing(flags):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return opening(name, flags, *args, dir_fd=dir_fd, **options)

    os.open = open_or_fail


def refuse_to_replace(path: Path) -> Callable[[], None]:
    """Have the system refuse to put another file in the place of this one, as where it is immutable."""
    return partial(_refuse_to_replace, str(path))


def _refuse_to_replace(path: str) -> None:
    replacing = os.replace

    def replace_or_fail(source: str, target: str, *, dst_dir_fd: int | None = None, **options: Any) -> None:
        folder = os.readlink(f"/proc/self/fd/{dst_dir_fd}") if dst_dir_fd is not None else ""
        if os.path.join(folder, target) == path:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        replacing(source, target, dst_dir_fd=dst_dir_fd, **options)

    os.replace = replace_or_fail


def without_semaphores() -> None:
    """Have the system refuse them, as it does where /dev/shm is read-only or missing."""

    class Refused(_multiprocessing.SemLock):
        def __new__(cls, *_args: object) -> Self:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    _multiprocessing.SemLock = Refused


def without_forks() -> None:
    """Have the system refuse more processes."""

    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    os.fork = refuse


def look_for_openssl_in(folder: Path) -> Callable[[], None]:
    """Look for OpenSSL in this folder alone, where it may be missing or slow, and wait for it a fifth of a second."""
    return partial(_look_for_openssl_in, str(folder))


def _look_for_openssl_in(folder: str) -> None:
    openssl = import_module("iotonboard.broker.openssl")
    openssl.PLACES, openssl.TIMEOUT_S = folder, 0.2


def mount_decides(folder: Path, *, refusing: bool) -> Callable[[], None]:
    """Have everything below a folder belong to all, as on a stick with FAT: modes and owners are the mount's.

    ``refusing``: to ask for others is refused, as where the mount belongs to another user or goes through FUSE;
    otherwise a mode that is asked for is taken and forgotten, as the kernel's FAT does.
    """
    return partial(_mount_decides, str(folder), refusing)


def _mount_decides(folder: str, refusing: bool) -> None:
    opening, making, chmod, fchmod, fchown = os.open, os.mkdir, os.chmod, os.fchmod, os.fchown

    def is_there(place: object) -> bool:
        path = os.readlink(f"/proc/self/fd/{place}") if isinstance(place, int) else os.path.abspath(os.fspath(place))
        return path.startswith(folder)

    def refuse() -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    def open_there(path: Any, flags: int, *args: Any, **options: Any) -> int:
        descriptor = opening(path, flags, *args, **options)
        if flags & os.O_CREAT and is_there(descriptor):
            fchmod(descriptor, 0o777)
        return descriptor

    def make_there(path: Any, *args: Any, **options: Any) -> None:
        making(path, *args, **options)
        if is_there(path):
            chmod(path, 0o777)

    def change(real: Callable[..., None], place: Any, *args: Any, **options: Any) -> None:
        if not is_there(place):
            real(place, *args, **options)
        elif refusing or real is fchown:
            refuse()

    os.open, os.mkdir = open_there, make_there
    os.chmod, os.fchmod, os.fchown = (partial(change, real) for real in (chmod, fchmod, fchown))


def use_a_tiny_cache() -> None:
    """Make SQLite write pages before COMMIT, as it does in a large transaction: it then meets a full disk earlier."""

    class Connection(sqlite3.Connection):
        def execute(self, statement: str, *args: Any) -> sqlite3.Cursor:
            is_about_it = statement.startswith("PRAGMA cache_size")
            return super().execute("PRAGMA cache_size = 2" if is_about_it else statement, *args)

    sqlite3.connect = partial(sqlite3.connect, factory=Connection)


def spoil_what_is_put_in_place(path: str) -> Callable[[], None]:
    """Change an octet within the last PEM block of this file each time when it was replaced, as a bad disk does."""
    return partial(_spoil, path)


def _spoil(path: str) -> None:
    replace = os.replace

    def replace_and_spoil(source: str, target: str, **options: Any) -> None:
        replace(source, target, **options)
        if os.fspath(target) == path:
            with open(path, "r+b") as file:
                content = file.read()
                at = content.rindex(b"-----BEGIN") + 60
                file.seek(at)
                file.write(b"A" if content[at : at + 1] != b"A" else b"B")

    os.replace = replace_and_spoil
