"""What lies in one folder, reached from the folder where that is open: the calls of the system, and their errors.

``folders.py`` says when a folder is held open, and refuses what somebody planted in it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.disk import permissions
from iotonboard.disk.owner import as_caller
from iotonboard.disk.walking import SAFE

if TYPE_CHECKING:
    from typing import BinaryIO

    from iotonboard.disk.permissions import Placement

STAGING_PREFIX, STAGING_SUFFIX = ".iotonboard-", ".tmp"
IS_POSIX = hasattr(os, "O_DIRECTORY")
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFE


@dataclass(frozen=True, slots=True)
class Entries:
    """The names in one folder. ``path`` is the folder's own, empty for the current one.

    ``descriptor`` is -1 where that name is enough (``walking.is_led``), and on Windows, which opens no folders.
    """

    path: str
    descriptor: int

    def file(self, name: str) -> str:
        """What is said of a file in it."""
        return os.path.join(self.path, name)

    def create(self, name: str) -> BinaryIO:
        """Create a file with mode 0600. Its buffer has a size, so that Python does not ask for the disk's.

        Raises:
            FileExistsError: the name is taken.
            OSError: the disk refuses.
        """
        return os.fdopen(os.open(self._at(name), _CREATE, 0o600, dir_fd=self._fd), "wb", 1 << 16)

    def move(self, name: str, there: Entries, new: str) -> None:
        """Give a file another name, there. ``OSError``: the disk refuses."""
        os.replace(self._at(name), there._at(new), src_dir_fd=self._fd, dst_dir_fd=there._fd)

    def sync(self) -> None:
        """Make new names in it durable, where the disk knows of that."""
        if self.descriptor >= 0:
            sync_descriptor(self.descriptor)
        elif IS_POSIX:  # Windows opens no folders, and makes names durable by itself
            self._sync(self.path or os.curdir, os.O_RDONLY)

    def sync_file(self, name: str) -> None:
        """Make a written file durable; Windows wants it open for writing. ``OSError``: the disk refuses."""
        self._sync(self._at(name), SAFE | (os.O_RDONLY if IS_POSIX else os.O_RDWR))

    def _sync(self, at: str, flags: int) -> None:
        descriptor = os.open(at, flags, dir_fd=self._fd)
        try:
            sync_descriptor(descriptor)
        finally:
            os.close(descriptor)

    def erase(self, name: str) -> None:
        """Overwrite a plain file that has no second name with zeros, and delete it; all else is only deleted.

        Raises:
            OSError: there is none, or the disk refuses.
        """
        if self.kind(name) == stat.S_IFREG and self._stat(name).st_nlink == 1:
            descriptor = os.open(self._at(name), os.O_WRONLY | SAFE, dir_fd=self._fd)
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                found = os.fstat(descriptor)  # it may be another one by now
                if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
                    file.write(bytes(found.st_size))
                    os.fsync(descriptor)
        self.unlink(name)

    def unlink(self, name: str) -> None:
        """Delete a name that is no folder's. ``OSError``: there is none, or the disk refuses."""
        os.unlink(self._at(name), dir_fd=self._fd)

    def remove(self, name: str) -> bool:
        """Delete a name that is no folder's, if the disk lets it go; ``True`` when it did."""
        with contextlib.suppress(OSError):
            self.unlink(name)
            return True
        return False

    def rmdir(self, name: str) -> None:
        """Delete a folder. ``OSError``: something lies in it, or there is none."""
        os.rmdir(self._at(name), dir_fd=self._fd)

    def make(self, name: str) -> bool:
        """Make a folder in it with mode 0700; ``True`` when it was not there. ``OSError``: the disk refuses."""
        try:
            os.mkdir(self._at(name), 0o700, dir_fd=self._fd)
        except FileExistsError:
            return False
        return True

    def give_mode(self, name: str, mode: int) -> None:
        """Give a file or folder its mode, and nothing that a link leads to. ``OSError``: the disk refuses."""
        if self._fd is None:
            os.chmod(self._at(name), mode)
            return
        descriptor = os.open(name, os.O_RDONLY | SAFE, dir_fd=self._fd)
        try:
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)

    def kind(self, name: str) -> int:
        """What stands there, as ``stat.S_IFMT`` names it, no link followed. ``OSError``: nothing does."""
        return stat.S_IFMT(self._stat(name).st_mode)

    def _stat(self, name: str) -> os.stat_result:
        return os.stat(self._at(name), dir_fd=self._fd, follow_symlinks=False)

    @property
    def _fd(self) -> int | None:
        return self.descriptor if self.descriptor >= 0 else None

    def _at(self, name: str) -> str:
        return name if self.descriptor >= 0 else self.file(name)


def staging_name(name: str) -> str:
    """A name for the file that is to take the place of ``name``, until it does."""
    return f"{STAGING_PREFIX}{name[:80]}-{os.urandom(6).hex()}{STAGING_SUFFIX}"


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
