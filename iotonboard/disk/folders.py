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
from dataclasses import dataclass
from io import FileIO
from typing import TYPE_CHECKING

from iotonboard.disk import permissions
from iotonboard.disk.entries import IS_POSIX, STAGING_PREFIX, STAGING_SUFFIX, Entries, settle, staging_name
from iotonboard.disk.walking import FOLDER, SAFE, is_led, is_root, no_folder, removal, walk
from iotonboard.errors import BusyError, ConflictError, NotFoundError, PolicyError, disk_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from iotonboard.disk.permissions import Placement

MANY = 10_000  # entries of one folder; nobody's generations are so many
_NOT_A_FOLDER = (errno.ELOOP, errno.EMLINK, errno.ENOTDIR)
_NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


@dataclass(frozen=True, slots=True)
class Folder(Entries):
    """One folder, in which nothing is followed, and nothing but plain files is read or changed."""

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
        staged = staging_name(name)
        try:
            try:
                with self.create(staged) as file:
                    for piece in (content,) if isinstance(content, bytes) else content:
                        file.write(piece)
                    settle(file, self.file(staged), placement, durable=True)
                self.put_in_place(staged, name, placement)
            except BaseException:
                self.remove(staged)
                raise
            self.sync()
        except OSError as error:
            raise disk_error(error, self.file(name)) from error

    def put_in_place(self, staged: str, name: str, placement: Placement) -> None:
        """Give a file that was written the name of the one that it replaces.

        Raises:
            PolicyError: the placement's reader could not read it.
            OSError: the disk refuses.
        """
        if placement.reader and (reason := permissions.unreadable_for(self.file(staged), placement.reader)):
            raise PolicyError(f"{self.file(name)!r} was not replaced: {reason}", hint=permissions.READER_HINT)
        self.move(staged, self, name)

    def change(self, name: str, flags: int = 0) -> FileIO:
        """Open a plain file to read and write it where it stands; ``flags``: O_CREAT with mode 0600, O_APPEND, O_TRUNC.

        Raises:
            ConflictError: as ``open``.
            OSError: there is none, or the disk refuses.
        """
        self.check_free(name)
        descriptor = os.open(self._at(name), os.O_RDWR | flags | SAFE, 0o600, dir_fd=self._fd)
        try:
            self._refuse_others(name, os.fstat(descriptor))
            return FileIO(descriptor, "a+" if flags & os.O_APPEND else "r+")
        except BaseException:
            os.close(descriptor)
            raise

    def names(self, *, folders: bool = False) -> list[str]:
        """What lies in it; with ``folders`` those alone.

        Raises:
            ConflictError: more than ``MANY`` entries do.
        """
        found = []
        with os.scandir((self.path or os.curdir) if self._fd is None else self.descriptor) as entries:
            for number, entry in enumerate(entries):
                if number >= MANY:
                    raise ConflictError(f"{self.path!r} holds more than {MANY} entries", hint=removal(self.path, "in "))
                if not folders or entry.is_dir(follow_symlinks=False):
                    found.append(entry.name)
        return found

    def sweep(self) -> int:
        """Delete what interrupted writes left, and say how many went; what others named so may stay.

        The caller keeps other writers out.
        """
        left = [name for name in self.names() if name.startswith(STAGING_PREFIX) and name.endswith(STAGING_SUFFIX)]
        return sum(self.remove(name) for name in left)

    @contextlib.contextmanager
    def sub(self, name: str, *, make_mode: int | None = None) -> Iterator[Folder]:
        """Open a folder in it; with ``make_mode`` it is made when it is not there.

        Raises:
            NotFoundError: there is none.
            ConflictError: a link stands there, or something that is no folder.
        """
        path = self.file(name)
        try:
            made = make_mode is not None and self.make(name)
            descriptor = os.open(name, os.O_RDONLY | FOLDER, dir_fd=self._fd) if IS_POSIX else -1
        except FileNotFoundError:
            raise NotFoundError(f"there is no folder {path!r}", hint="check the name") from None
        except OSError as error:
            if error.errno in _NOT_A_FOLDER:
                raise ConflictError(f"{path!r} is not a folder", hint=removal(path)) from None
            raise disk_error(error, path) from error
        try:
            if made and make_mode is not None and IS_POSIX:
                with permissions.modes_of_mount(path, make_mode):
                    os.fchmod(descriptor, make_mode)
                self.sync()
            yield Folder(path, descriptor)
        finally:
            if IS_POSIX:
                os.close(descriptor)

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
        if found.st_nlink > 1 and self.descriptor >= 0 and is_root() and not links:
            raise ConflictError(f"{path!r} is a file that has another name too (a hard link)", hint=removal(path))


@contextlib.contextmanager
def hold(path: str) -> Iterator[Folder]:
    """A folder for the block: open where somebody else could lead root elsewhere, else by its name.

    Raises:
        ConflictError: root is led there by a link that is not root's.
        OSError: there is no such folder, or it cannot be entered.
    """
    if not IS_POSIX or not is_led(path):
        yield Folder(path, -1)
        return
    descriptor, _ = walk(os.path.join(os.getcwd(), path))
    try:
        yield Folder(path, descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def hold_folder_of(path: str) -> Iterator[tuple[Folder, str]]:
    """The folder that a file lies in, as ``hold``, and how it is called there."""
    head, name = os.path.split(path)
    with hold(head) as folder:
        yield folder, name


@contextlib.contextmanager
def open_folder(path: str) -> Iterator[Folder]:
    """Open a folder by its name; ``Folder.path`` is then free of links.

    Raises:
        NotFoundError: there is no such folder.
        ConflictError: root is led there by a link that is not root's.
        BusyError: it cannot be entered.
    """
    path = os.path.abspath(path)
    if not IS_POSIX:
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


def _unreadable(path: str, error: OSError) -> BusyError:
    return BusyError(f"cannot read {path!r}: {error.strerror}", hint="check the file's permissions")
