"""Folders held open: where others may write too, names are looked up from the open folder and nowhere else.

A name may lead to one file when it is looked at and to another one when it is used. So a folder is opened once, every
file in it is reached from there, nothing in it is followed, and what was opened is asked what it is. A link on the way
to the folder counts for root only where it is root's own; nobody else is led where they could not go themselves.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from iotonboard import permissions
from iotonboard.errors import BusyError, ConflictError, NotFoundError, PolicyError, disk_error
from iotonboard.owner import as_caller
from iotonboard.walking import FOLDER, SAFE, is_root, no_folder, removal, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from iotonboard.permissions import Placement

STAGING_PREFIX, STAGING_SUFFIX = ".iotonboard-", ".tmp"
MANY = 10_000  # entries of one folder; nobody's generations are so many
_IS_POSIX = hasattr(os, "O_DIRECTORY")
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFE
_POLL_S = 0.05
_NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)  # network shares
_NOT_A_FOLDER = (errno.ELOOP, errno.EMLINK, errno.ENOTDIR)
_NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


@dataclass(frozen=True, slots=True)
class Folder:
    """One open folder. ``path`` is its name, for messages; ``descriptor`` is -1 on Windows, which opens no folders."""

    path: str
    descriptor: int

    def file(self, name: str) -> str:
        """What is said of a file in it."""
        return os.path.join(self.path, name)

    def open(self, name: str) -> BinaryIO | None:
        """Open a plain file to read it, and nothing else even for a moment; ``None`` when there is none.

        Raises:
            ConflictError: it is a link, a FIFO or another thing, or has a second name somewhere and root runs this.
            BusyError: it cannot be read.
        """
        try:
            self._refuse_others(name, self._stat(name))
            descriptor = os.open(self._at(name), os.O_RDONLY | SAFE, dir_fd=self._fd)
        except (FileNotFoundError, ValueError):  # a NUL in the name
            return None
        except OSError as error:
            raise _unreadable(self.file(name), error) from error
        try:
            self._refuse_others(name, os.fstat(descriptor))  # it may be another one by now
            return os.fdopen(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise

    def read(self, name: str, *, limit: int) -> bytes | None:
        """Read a whole file; ``None`` when there is none.

        Raises:
            ConflictError: as ``open``; or it is larger than ``limit`` octets.
            BusyError: it cannot be read.
        """
        file = self.open(name)
        if file is None:
            return None
        with file:
            try:
                content = file.read(limit + 1) if os.fstat(file.fileno()).st_size <= limit else None
            except OSError as error:
                raise _unreadable(self.file(name), error) from error
        if content is None or len(content) > limit:
            raise ConflictError(f"{self.file(name)!r} is larger than {limit} bytes", hint=removal(self.file(name)))
        return content

    def pieces(self, name: str) -> Iterator[bytes]:
        """Read a file of any size in pieces of a mebibyte; none when there is none. As ``open``."""
        file = self.open(name)
        if file is None:
            return
        with file:
            try:
                while piece := file.read(1 << 20):
                    yield piece
            except OSError as error:
                raise _unreadable(self.file(name), error) from error

    def placement(self, name: str, default: Placement) -> Placement:
        """Mode and owner of a plain file, as ``permissions.placement_of``; else ``default``."""
        try:
            file = self.open(name)
        except (ConflictError, BusyError):
            return default
        if file is None:
            return default
        with file:
            return permissions.placement_of(file.fileno())

    def check_free(self, name: str) -> None:
        """Make sure that a name is free, or a plain file's.

        Raises:
            ConflictError: a link, a folder, a device or a pipe stands there.
        """
        with contextlib.suppress(FileNotFoundError):
            self._refuse_others(name, self._stat(name), links=True)

    def write(self, name: str, content: bytes | Iterable[bytes], placement: Placement) -> None:
        """Replace a file by a whole new one, durable when this returns.

        Raises:
            ConflictError: something else than a plain file stands there.
            BusyError: the disk refused; the old file stays.
            PolicyError: the placement's reader could not read it; the old file stays.
        """
        self.check_free(name)
        staged = f"{STAGING_PREFIX}{name[:80]}-{os.urandom(6).hex()}{STAGING_SUFFIX}"
        try:
            descriptor = os.open(self._at(staged), _CREATE, 0o600, dir_fd=self._fd)
            try:
                with os.fdopen(descriptor, "wb", 1 << 16) as file:
                    for piece in (content,) if isinstance(content, bytes) else content:
                        file.write(piece)
                    settle(file, self.file(staged), placement, durable=True)
                self._check_reader(name, staged, placement)
                os.replace(self._at(staged), self._at(name), src_dir_fd=self._fd, dst_dir_fd=self._fd)
            except BaseException:
                self.remove(staged)
                raise
            self.sync()
        except OSError as error:
            raise disk_error(error, self.file(name)) from error

    def _check_reader(self, name: str, staged: str, placement: Placement) -> None:
        if placement.reader and (reason := permissions.unreadable_for(self.file(staged), placement.reader)):
            raise PolicyError(f"{self.file(name)!r} was not replaced: {reason}", hint=permissions.READER_HINT)

    def sync(self) -> None:
        """Make new names in it durable, where the disk knows of that."""
        if self.descriptor >= 0:
            sync_descriptor(self.descriptor)

    def remove(self, name: str) -> None:
        """Delete a name that is no folder's, if the disk lets it go."""
        with contextlib.suppress(OSError):
            os.unlink(self._at(name), dir_fd=self._fd)

    def remove_empty(self, name: str) -> None:
        """Delete a folder in which nothing lies."""
        with contextlib.suppress(OSError):
            os.rmdir(self._at(name), dir_fd=self._fd)

    def names(self, *, folders: bool = False) -> list[str]:
        """What lies in it; with ``folders`` those alone.

        Raises:
            ConflictError: more than ``MANY`` entries do.
        """
        found = []
        with os.scandir(self.path if self._fd is None else self.descriptor) as entries:
            for number, entry in enumerate(entries):
                if number >= MANY:
                    raise ConflictError(f"{self.path!r} holds more than {MANY} entries", hint=removal(self.path, "in "))
                if not folders or entry.is_dir(follow_symlinks=False):
                    found.append(entry.name)
        return found

    def sweep(self) -> None:
        """Delete what interrupted writes left; what others named so may stay. The caller keeps other writers out."""
        for name in self.names():
            if name.startswith(STAGING_PREFIX) and name.endswith(STAGING_SUFFIX):
                self.remove(name)

    @contextlib.contextmanager
    def sub(self, name: str, *, make_mode: int | None = None) -> Iterator[Folder]:
        """Open a folder in it; with ``make_mode`` it is made when it is not there.

        Raises:
            NotFoundError: there is none.
            ConflictError: a link stands there, or something that is no folder.
        """
        path = self.file(name)
        try:
            made = make_mode is not None and self._make(name)
            descriptor = os.open(name, os.O_RDONLY | FOLDER, dir_fd=self._fd) if _IS_POSIX else -1
        except FileNotFoundError:
            raise NotFoundError(f"there is no folder {path!r}", hint="check the name") from None
        except OSError as error:
            if error.errno in _NOT_A_FOLDER:
                raise ConflictError(f"{path!r} is not a folder", hint=removal(path)) from None
            raise disk_error(error, path) from error
        try:
            if made and make_mode is not None and _IS_POSIX:
                with permissions.modes_of_mount(path, make_mode):
                    os.fchmod(descriptor, make_mode)
                self.sync()
            yield Folder(path, descriptor)
        finally:
            if _IS_POSIX:
                os.close(descriptor)

    def _make(self, name: str) -> bool:
        try:
            os.mkdir(self._at(name), 0o700, dir_fd=self._fd)
        except FileExistsError:
            return False
        return True

    def lock(self, *, timeout_s: float) -> None:
        """Keep other processes out that ask for the same, until the folder is closed; a killed one leaves nothing.

        On network shares that know no such lock, and on Windows, nobody is kept out.

        Raises:
            BusyError: another one holds it for longer than ``timeout_s``.
        """
        if not _IS_POSIX:
            return
        fcntl, deadline = import_module("fcntl"), time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in _NO_LOCKS:
                    return
                if time.monotonic() > deadline:
                    raise BusyError(f"{self.path!r} is busy", hint="run the same command again") from error
                time.sleep(_POLL_S)
            else:
                return

    def _refuse_others(self, name: str, found: os.stat_result, *, links: bool = False) -> None:
        """``links``: of files with a second name too, since nothing is read of them."""
        path = self.file(name)
        if stat.S_ISLNK(found.st_mode):
            raise ConflictError(
                f"{path!r} is a symbolic link, and is not followed here",
                hint=f"name the file itself (--dest, --out, broker_acl_file, broker_crl_file), or {removal(path)}",
            )
        if not stat.S_ISREG(found.st_mode):
            raise ConflictError(f"{path!r} is not a file", hint=removal(path))
        if found.st_nlink > 1 and is_root() and not links:
            raise ConflictError(f"{path!r} is a file that has another name too (a hard link)", hint=removal(path))

    def _stat(self, name: str) -> os.stat_result:
        return os.stat(self._at(name), dir_fd=self._fd, follow_symlinks=False)

    @property
    def _fd(self) -> int | None:
        return self.descriptor if self.descriptor >= 0 else None

    def _at(self, name: str) -> str:
        return name if self.descriptor >= 0 else self.file(name)


@contextlib.contextmanager
def open_folder(path: str) -> Iterator[Folder]:
    """Open a folder by its name; ``Folder.path`` is then free of links.

    Raises:
        NotFoundError: there is no such folder.
        ConflictError: root is led there by a link that is not root's.
        BusyError: it cannot be entered.
    """
    path = os.path.abspath(path)
    if not _IS_POSIX:
        yield Folder(path, -1)
        return
    try:
        descriptor, real = walk(path)
    except ValueError:  # a NUL in the name
        raise NotFoundError(no_folder(path), hint="check the name") from None
    except OSError as error:
        if error.errno in _NO_FOLDER:
            raise NotFoundError(no_folder(path), hint="check the name") from None
        raise BusyError(f"cannot enter {path!r}: {error.strerror}", hint="check the folder's permissions") from error
    try:
        yield Folder(real, descriptor)
    finally:
        os.close(descriptor)


def settle(file: BinaryIO, path: str, placement: Placement, *, durable: bool) -> None:
    """Give a written file its owner and mode, and make it durable."""
    file.flush()
    with as_caller():  # only root can give a file away, or change one that it gave away
        permissions.give(file.fileno(), placement)
        if hasattr(os, "fchmod"):
            with permissions.modes_of_mount(path, placement.mode):
                os.fchmod(file.fileno(), placement.mode)
        permissions.keep_acl(file.fileno(), placement)
    if durable:
        os.fsync(file.fileno())


def sync_descriptor(descriptor: int) -> None:
    """Make an open file or folder durable; shares, and FAT through FUSE, cannot sync a folder."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        refused = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
        if error.errno not in refused or not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise


def _unreadable(path: str, error: OSError) -> BusyError:
    return BusyError(f"cannot read {path!r}: {error.strerror}", hint="check the file's permissions")
