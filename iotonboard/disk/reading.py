"""Reading files from disk; what the system refuses becomes one of the program's own errors.

Only plain files are opened: a FIFO would wait for somebody who writes, and opening a device does something to it. Root
reads nothing by a link that is somebody else's, nor a file that somebody gave a second name in a folder of theirs.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from typing import TYPE_CHECKING

from iotonboard.disk.owner import in_callers_place
from iotonboard.disk.walking import FOLLOWING, SAFE, follow, is_led, kind_of, removal
from iotonboard.errors import BusyError, ConflictError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

# What the caller has open already, as a shell hands over <(...): no opening of it waits or does anything.
_INHERITED = re.compile(r"/dev/fd/(\d{1,9})|/proc/self/fd/(\d{1,9})|/dev/stdin")
_NO_SUCH = (errno.ENOENT, errno.ENOTDIR)
_NOWHERE = (errno.ELOOP, errno.ENAMETOOLONG)  # names that lead to no file on any day


class _NotAFileError(OSError):
    """``strerror`` says what it is."""


def open_file(path: str) -> BinaryIO:
    """Open a file that somebody named, to read it from its beginning.

    Raises:
        NotFoundError: there is no such file, or it is something else: a folder, a FIFO, a socket, a device.
        BusyError: it cannot be read.
    """
    with _reading(path):
        try:
            return _open(path)
        except _NotAFileError as error:
            what = str(error.strerror)
            hint = "name a file in it" if what.startswith("a folder") else "name a file, or '-' where stdin is read"
            raise NotFoundError(f"{path!r} is {what}", hint=hint) from None
        except OSError as error:
            if error.errno not in (*_NO_SUCH, *_NOWHERE):
                raise
            reason = f": {error.strerror}" if error.errno in _NOWHERE else ""
            raise NotFoundError(f"there is no file {path!r}{reason}", hint="check the name") from None


def check_file(path: str) -> None:
    """Make sure that there is a file to read, and nothing else. Raises as ``open_file``."""
    open_file(path).close()


def read_file(path: str, *, limit: int = 1 << 26) -> bytes:
    """Read a whole file of at most ``limit`` octets.

    Raises:
        NotFoundError: there is no such file, or it is something else.
        BusyError: it cannot be read.
        ConflictError: it is larger than ``limit``.
    """
    with open_file(path) as file, _reading(path):
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ConflictError(f"{path!r} is larger than {limit} bytes", hint="this is not the file that was meant")
    return content


def read_start(path: str, size: int) -> bytes:
    """Read at most the first ``size`` octets of a file, whatever its length. Raises as ``open_file``."""
    with open_file(path) as file, _reading(path):
        return file.read(size)


def read_pieces(path: str) -> Iterator[bytes]:
    """Read a file of any size in pieces of a mebibyte.

    Raises:
        BusyError: it cannot be read.
    """
    with _reading(path), _open(path) as file:
        while piece := file.read(1 << 20):
            yield piece


def holds(path: str, pieces: Iterable[bytes]) -> bool:
    """Say whether a file is exactly these pieces, read side by side.

    Raises:
        BusyError: it cannot be read.
    """
    with _reading(path), _open(path) as file:
        return all(file.read(len(piece)) == piece for piece in pieces) and not file.read(1)


def file_mark(path: str) -> str:
    """Size, time of change and number of a file: the same only if nobody wrote it since; empty when there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"


def read_back(path: str, *, limit: int = 1 << 26) -> bytes:
    """Read a file that was just written, from the medium where the system can drop its cached copy.

    Raises:
        BusyError: it cannot be read.
    """
    with _reading(path), _open(path, SAFE) as file:
        if hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError):  # not every file system takes advice
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return file.read(limit)


def _open(path: str, flags: int = FOLLOWING) -> BinaryIO:
    """Open a plain file, and nothing else even for a moment."""
    if inherited := _INHERITED.fullmatch(path):
        return os.fdopen(os.dup(int(inherited[1] or inherited[2] or 0)), "rb")
    try:
        if not is_led(os.path.dirname(path)):
            return _open_plain(path, flags, None)
        folder, name = follow(path)
    except ValueError:  # a NUL in the name
        raise FileNotFoundError(errno.ENOENT, "no file has such a name") from None
    try:
        file = _open_plain(name, SAFE, folder)
        if os.fstat(file.fileno()).st_nlink > 1 and not _is_of_one_user(file.fileno(), folder):
            file.close()
            raise ConflictError(f"{path!r} is a file that has another name too (a hard link)", hint=removal(path))
        return file
    finally:
        os.close(folder)


def _open_plain(name: str, flags: int, folder: int | None) -> BinaryIO:
    _refuse_others(os.stat(name, dir_fd=folder))
    descriptor = _open_unseen(name, os.O_RDONLY | flags, folder)
    try:
        _refuse_others(os.fstat(descriptor))  # it may be another one by now
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _is_of_one_user(file: int, folder: int) -> bool:
    """Say whether a file is of the user whose folder it lies in, who could read it anyway."""
    return os.fstat(file).st_uid == os.fstat(folder).st_uid != 0


def _open_unseen(name: str, flags: int, folder: int | None) -> int:
    """Open a file without changing its access time, where that is allowed: it tells who else has read the file."""
    try:
        return os.open(name, flags | getattr(os, "O_NOATIME", 0), dir_fd=folder)
    except PermissionError:  # of a file of somebody else's
        return os.open(name, flags, dir_fd=folder)


def _refuse_others(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _NotAFileError(errno.EINVAL, f"{kind_of(found.st_mode)}, not a file")


@contextlib.contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        with in_callers_place(path):
            yield
    except _NotAFileError as error:
        raise BusyError(
            f"cannot read {path!r}: it is {error.strerror}",
            hint="a file belongs there: name another, or put it in place",
        ) from error
    except OSError as error:
        raise BusyError(f"cannot read {path!r}: {error.strerror}", hint="check the file's permissions") from error
