"""Writing files to disk by their names; with ``folders``, the only place with fsync, rename and modes.

A file is replaced by a finished one or not at all: temporary file in the same folder, owner and mode, fsync, rename,
fsync of the folder. No symbolic link is followed in the place of a file, and root is led nowhere by what others can put
on the way (``folders.hold``). What the disk refuses is a ``BusyError``.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections import deque
from typing import TYPE_CHECKING

from iotonboard.disk import permissions
from iotonboard.disk.entries import STAGING_PREFIX, STAGING_SUFFIX, settle, staging_name
from iotonboard.disk.folders import hold, hold_folder_of
from iotonboard.disk.owner import chown_hint, in_callers_place
from iotonboard.disk.permissions import Placement
from iotonboard.errors import ConflictError, IotOnboardError, disk_error

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from io import FileIO
    from typing import BinaryIO

    from iotonboard.disk.folders import Folder

_SYNCS_AT_ONCE = 16  # more are no faster on ext4
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
    path = path.rstrip(os.sep) or path
    with _writing(path), hold_folder_of(path) as (folder, name):
        if not folder.make(name):
            if folder.kind(name) == stat.S_IFDIR:
                return False
            raise ConflictError(f"{path!r} is not a folder", hint="a folder belongs there, and no link")
        if mode != 0o700:
            with permissions.modes_of_mount(path, mode):
                folder.give_mode(name, mode)
        if durable:
            folder.sync()
    return True


def make_private(path: str) -> None:
    """Take the rights of all but the owner from a file (0600) or folder (0700). ``BusyError``: the disk refused."""
    mode = 0o700 if os.path.isdir(path) else 0o600
    with (
        _writing(path),
        hold_folder_of(path) as (folder, name),
        permissions.modes_of_mount(path, mode, is_new=False),
    ):
        folder.give_mode(name, mode)


def refuse_existing(path: str, *, hint: str = "--force replaces it; --out FILE names another") -> None:
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
    with _writing(path), hold_folder_of(path) as (folder, name):
        with _staged(folder, name, placement, durable=True, in_place=True) as (_, file):
            file.write(content)
        folder.sync()


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
    with _writing(path), hold_folder_of(path) as (folder, name):
        with _staged(folder, name, placement, durable=durable) as (staged, file):
            yield file
            if finish:
                file.flush()
                finish(folder.file(staged))
        _put_in_place(folder, staged, name, placement)
        if durable:
            folder.sync()


@contextlib.contextmanager
def changing(path: str) -> Iterator[FileIO]:
    """Open a plain file to read and write it where it stands.

    Raises:
        ConflictError: a link or something else stands there.
        BusyError: there is none, or the disk refuses.
    """
    with _writing(path), hold_folder_of(path) as (folder, name), folder.change(name) as file:
        yield file


def open_to_append(path: str) -> FileIO:
    """Open a plain file to read it and to append to it; one that is not there is created with mode 0600.

    Raises:
        ConflictError: a link or something else stands there.
        BusyError: the disk refuses.
    """
    with _writing(path), hold_folder_of(path) as (folder, name):
        return folder.change(name, os.O_CREAT | os.O_APPEND)


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
            with _writing(path), hold_folder_of(path) as (folder, name):
                is_fresh = os.path.dirname(path) in fresh
                with _staged(folder, name, placement, durable=False, in_place=is_fresh) as (staged, file):
                    file.write(content)
                written[path] = folder.file(staged)
        except IotOnboardError as error:
            refused[path] = error
    replacing = {path: staged for path, staged in written.items() if staged != path}
    unsynced = _sync_all({*written.values(), *_folders_of(written.keys() - replacing.keys())})
    for path, staged in replacing.items():
        try:
            with _writing(path), hold_folder_of(path) as (folder, name):
                if staged in unsynced:
                    folder.remove(os.path.basename(staged))
                    refused[path] = disk_error(unsynced[staged], path)
                else:
                    _put_in_place(folder, os.path.basename(staged), name, contents[path][1])
        except IotOnboardError as error:
            refused[path] = error
    unsynced |= _sync_all(_folders_of(replacing))
    return _refused(written, unsynced) | refused


@contextlib.contextmanager
def _staged(
    folder: Folder, name: str, placement: Placement, *, durable: bool, in_place: bool = False
) -> Iterator[tuple[str, BinaryIO]]:
    """A new file beside ``name``, or there, and how it is called; with owner and mode when the block ends well."""
    permissions.check_replaceable(folder.file(name))
    staged = name if in_place else staging_name(name)
    with _create(folder, staged) as file:
        try:
            yield staged, file
            settle(file, folder.file(staged), placement, durable=durable)
        except BaseException:
            folder.remove(staged)
            raise


def _put_in_place(folder: Folder, staged: str, name: str, placement: Placement) -> None:
    try:
        folder.put_in_place(staged, name, placement)
    except BaseException:
        folder.remove(staged)
        raise


def move_file(source: str, target: str) -> None:
    """Give a whole and durable file another name, which lasts when this returns. ``BusyError``: the disk refused."""
    with _writing(target), hold_folder_of(source) as (there, before), hold_folder_of(target) as (folder, name):
        there.move(before, folder, name)
        folder.sync()


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
    if os.path.isdir(path):
        with hold(path) as folder:
            folder.sync()
    else:
        with hold_folder_of(path) as (folder, name):
            folder.sync_file(name)


def _create(folder: Folder, name: str) -> BinaryIO:
    try:
        return folder.create(name)
    except FileExistsError:
        raise ConflictError(f"{folder.file(name)!r} exists already", hint=permissions.TAKEN_HINT) from None


def sync_dir(path: str) -> None:
    """Make renames and new names in a folder durable. ``BusyError``: the disk refused."""
    with _writing(path):
        _sync(path)


def remove_file(path: str) -> bool:
    """Delete a file; ``True`` when it was there."""
    with _writing(path):
        try:
            with hold_folder_of(path) as (folder, name):
                folder.unlink(name)
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
            with hold_folder_of(path) as (folder, name):
                folder.erase(name)
        except FileNotFoundError:
            return False
    return True


def remove_empty_dir(path: str) -> bool:
    """Delete a folder; ``False`` when it was not there or something lies in it."""
    try:
        with hold_folder_of(path) as (folder, name):
            folder.rmdir(name)
    except (OSError, ConflictError):
        return False
    return True


def sweep_staging(folder: str) -> int:
    """Delete what an interrupted write left in ``folder``; returns how many files went.

    The caller holds the state's write lock, so no other writer's staging can be met.
    """
    with _writing(folder):
        try:
            with hold(folder) as held:
                return held.sweep()
        except (FileNotFoundError, NotADirectoryError, ConflictError):  # whoever writes there tells it
            return 0


def is_staging(name: str) -> bool:
    """Say whether a file name is one that ``write_atomic`` uses before the rename."""
    return name.startswith(STAGING_PREFIX) and name.endswith(STAGING_SUFFIX)
