"""Writing files to disk; with ``folders``, the only place with fsync, rename and modes.

A file is replaced by a finished one or not at all: temporary file in the same folder, owner and mode, fsync, rename,
fsync of the folder. No symbolic link is followed in the place of a file. What the disk refuses is a ``BusyError``.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections import deque
from typing import TYPE_CHECKING

from iotonboard import permissions
from iotonboard.errors import ConflictError, IotOnboardError, PolicyError, disk_error
from iotonboard.folders import STAGING_PREFIX, STAGING_SUFFIX, settle, sync_descriptor
from iotonboard.owner import chown_hint, in_callers_place
from iotonboard.permissions import Placement

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from typing import BinaryIO

_SYNCS_AT_ONCE = 16  # more are no faster on ext4
_IS_POSIX = hasattr(os, "O_DIRECTORY")
# O_BINARY exists on Windows only, O_NOFOLLOW and O_CLOEXEC on POSIX only.
_NO_FOLLOW = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW
PRIVATE, PUBLIC = Placement(0o600), Placement(0o644)


@contextlib.contextmanager
def _writing(path: str) -> Iterator[None]:
    """For the block, what the system refuses becomes the program's own error about ``path``."""
    try:
        with in_callers_place(path):
            yield
    except OSError as error:
        raise disk_error(error, path, mend=chown_hint(path)) from error


def make_private_dir(path: str, *, durable: bool = True) -> bool:
    """Create a folder with mode 0700; as ``make_dir``."""
    return make_dir(path, 0o700, durable=durable)


def make_dir(path: str, mode: int, *, durable: bool = True) -> bool:
    """Create ``path`` with ``mode`` whatever the umask says; ``True`` when it was made.

    ``durable=False`` leaves it to ``write_together`` or ``sync_together`` to make its name last.

    Raises:
        ConflictError: something that is not a folder (or a symbolic link) stands there.
        BusyError: the disk refused.
    """
    with _writing(path):
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if stat.S_ISDIR(os.lstat(path).st_mode):
                return False
            raise ConflictError(f"{path!r} is not a folder", hint="a folder belongs there, and no link") from None
        if mode != 0o700:
            with permissions.modes_of_mount(path, mode):
                os.chmod(path, mode)
        if durable:
            _sync(os.path.dirname(os.path.abspath(path)))
    return True


def make_private(path: str) -> None:
    """Take the rights of all but the owner from a file (0600) or folder (0700). ``BusyError``: the disk refused."""
    mode = 0o700 if os.path.isdir(path) else 0o600
    with _writing(path), permissions.modes_of_mount(path, mode, is_new=False):
        os.chmod(path, mode)


def refuse_existing(path: str, *, hint: str = "choose another name, or --force to replace it") -> None:
    """Refuse to write over something.

    Raises:
        ConflictError: ``path`` exists, even as a broken link.
    """
    if os.path.lexists(path):
        raise ConflictError(f"{path!r} exists already", hint=hint)


def create_exclusive(path: str, content: bytes, placement: Placement = PRIVATE) -> None:
    """Create a new file, durable before this returns; never follows a link, never overwrites.

    Raises:
        ConflictError: the name is taken.
        BusyError: the disk refused; no partial file is left.
    """
    with _staged(path, placement, durable=True, in_place=True) as (_, file):
        file.write(content)
    sync_dir(os.path.dirname(path) or ".")


def write_atomic(
    path: str, content: bytes | Iterable[bytes], placement: Placement = PRIVATE, *, durable: bool = True
) -> None:
    """Replace ``path`` by a whole new file; ``durable=False`` leaves it to a later ``sync_together`` to make it last.

    ``content`` may be produced piece by piece; when producing it fails, the old file stays.

    Raises:
        BusyError: the disk refused; the old file stays.
        PolicyError: the placement's reader could not read it; the old file stays.
    """
    with replacing(path, placement, durable=durable) as file:
        for piece in (content,) if isinstance(content, bytes) else content:
            file.write(piece)


@contextlib.contextmanager
def replacing(
    path: str, placement: Placement = PRIVATE, *, durable: bool = True, finish: Callable[[str], object] | None = None
) -> Iterator[BinaryIO]:
    """Open a temporary file in ``path``'s folder; when the block ends well it takes the place of ``path``.

    ``finish`` is given its name once it is written, and may change it and refuse.

    Raises:
        BusyError: the disk refused; the old file stays.
        ConflictError: a folder, a device or a pipe stands there.
        PolicyError: the placement's reader could not read it; the old file stays.
    """
    with _staged(path, placement, durable=durable) as (staged, file):
        yield file
        if finish:
            file.flush()
            finish(staged)
    _put_in_place(staged, path, placement)
    if durable:
        sync_dir(os.path.dirname(path) or ".")


def write_together(
    contents: Mapping[str, tuple[bytes, Placement]], fresh: Collection[str] = ()
) -> dict[str, IotOnboardError]:
    """Replace many files, each by a whole new one; durable when this returns, with the folders that they lie in.

    All wait for the disk together, which takes little longer than one does. In folders that are ``fresh``, of which
    nobody knows yet, files need no temporary name. Returns what refused which path.
    """
    written, refused = dict[str, str](), dict[str, IotOnboardError]()
    for path, (content, placement) in contents.items():
        try:
            with _staged(path, placement, durable=False, in_place=os.path.dirname(path) in fresh) as (staged, file):
                file.write(content)
            written[path] = staged
        except IotOnboardError as error:
            refused[path] = error
    replacing = {path: staged for path, staged in written.items() if staged != path}
    unsynced = _sync_all({*written.values(), *_folders_of(written.keys() - replacing.keys())})
    for path, staged in replacing.items():
        try:
            _put_in_place(staged, path, contents[path][1], unsynced.get(staged))
        except IotOnboardError as error:
            refused[path] = error
    unsynced |= _sync_all(_folders_of(replacing))
    return _refused(written, unsynced) | refused


@contextlib.contextmanager
def _staged(
    path: str, placement: Placement, *, durable: bool, in_place: bool = False
) -> Iterator[tuple[str, BinaryIO]]:
    """A new file beside ``path``, or there, and its name; with owner and mode when the block ends well, else gone."""
    permissions.check_replaceable(path)
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f"{STAGING_PREFIX}{name[:80]}-{os.urandom(6).hex()}{STAGING_SUFFIX}")
    staged = path if in_place else temporary
    with _writing(path), _create(staged) as file:
        try:
            yield staged, file
            settle(file, staged, placement, durable=durable)
        except BaseException:
            _forget(staged)
            raise


def _put_in_place(staged: str, path: str, placement: Placement, unsynced: OSError | None = None) -> None:
    try:
        with _writing(path):
            if unsynced:
                raise unsynced
            if placement.reader and (reason := permissions.unreadable_for(staged, placement.reader)):
                raise PolicyError(f"{path!r} was not replaced: {reason}", hint=permissions.READER_HINT)
            os.replace(staged, path)
    except IotOnboardError:
        _forget(staged)
        raise


def move_file(source: str, target: str) -> None:
    """Give a whole and durable file another name, which lasts when this returns. ``BusyError``: the disk refused."""
    with _writing(target):
        os.replace(source, target)
    sync_dir(os.path.dirname(target) or ".")


def sync_together(paths: Collection[str]) -> dict[str, IotOnboardError]:
    """Make files durable that were written with ``durable=False``, as ``write_together`` does."""
    return _refused(paths, _sync_all({*paths, *_folders_of(paths)}))


def _folders_of(paths: Iterable[str]) -> set[str]:
    """The folders of files, and those that these lie in: a new folder is a new name there."""
    folders = {os.path.dirname(path) or os.curdir for path in paths}
    return folders | {os.path.dirname(folder) or os.curdir for folder in folders}


def _refused(paths: Iterable[str], unsynced: Mapping[str, OSError]) -> dict[str, IotOnboardError]:
    """The files that are not durable, because they, their folder or that one's was not synced."""
    reasons = {path: [unsynced[one] for one in (path, *_folders_of([path])) if one in unsynced] for path in paths}
    return {path: disk_error(found[0], path) for path, found in reasons.items() if found}


def _sync_all(paths: Iterable[str]) -> dict[str, OSError]:
    """Make files and folders durable, several at a time; returns what refused which."""
    waiting, refused = deque(paths), dict[str, OSError]()

    def work() -> None:
        with contextlib.suppress(IndexError):  # nothing is left
            while True:
                path = waiting.popleft()
                try:
                    _sync(path)
                except OSError as error:
                    refused[path] = error

    # While one waits for the disk's journal, what the others ask for goes into the same write of it.
    helpers: list[threading.Thread] = []
    with contextlib.suppress(RuntimeError):  # the system gives no more threads
        for _ in range(min(len(waiting), _SYNCS_AT_ONCE) - 1):
            (helper := threading.Thread(target=work)).start()
            helpers.append(helper)
    work()
    for helper in helpers:
        helper.join()
    return refused


def _sync(path: str) -> None:
    if not _IS_POSIX and os.path.isdir(path):
        return  # Windows opens no folders, and makes names durable by itself
    descriptor = os.open(path, os.O_RDONLY if _IS_POSIX else os.O_RDWR)
    try:
        sync_descriptor(descriptor)
    finally:
        os.close(descriptor)


def _create(path: str) -> BinaryIO:
    """Create a file. Its buffer has a size so that Python does not ask for the disk's, with three system calls more."""
    try:
        return os.fdopen(os.open(path, _CREATE, 0o600), "wb", 1 << 16)
    except FileExistsError:
        raise ConflictError(f"{path!r} exists already", hint=permissions.TAKEN_HINT) from None


def _forget(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def sync_dir(path: str) -> None:
    """Make renames and new names in a folder durable. ``BusyError``: the disk refused."""
    with _writing(path):
        _sync(path)


def remove_file(path: str) -> bool:
    """Delete a file; ``True`` when it was there."""
    with _writing(path):
        try:
            os.unlink(path)
        except FileNotFoundError:
            return False
    return True


def erase_file(path: str) -> bool:
    """Overwrite a file with zeros and delete it; ``True`` when it was there.

    A disk that writes elsewhere (SSD, copy-on-write, journal) may keep the old octets. A file with a second
    name, or one that is no plain file, is only unlinked.
    """
    with _writing(path):
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return False
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            descriptor = os.open(path, os.O_WRONLY | _NO_FOLLOW)
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                file.write(bytes(found.st_size))
                os.fsync(descriptor)
        os.unlink(path)
    return True


def remove_empty_dir(path: str) -> bool:
    """Delete a folder; ``False`` when it was not there or something lies in it."""
    try:
        os.rmdir(path)
    except OSError:
        return False
    return True


def sweep_staging(folder: str) -> int:
    """Delete what an interrupted write left in ``folder``; returns how many files went.

    The caller holds the state's write lock, so no other writer's staging can be met.
    """
    with _writing(folder):
        try:
            names = [name for name in os.listdir(folder) if is_staging(name)]
        except (FileNotFoundError, NotADirectoryError):
            return 0
    return sum(remove_file(os.path.join(folder, name)) for name in names)


def is_staging(name: str) -> bool:
    """Say whether a file name is one that ``write_atomic`` uses before the rename."""
    return name.startswith(STAGING_PREFIX) and name.endswith(STAGING_SUFFIX)
