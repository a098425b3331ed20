"""Where credentials in a format go on a disk: nothing that is there is written over unless that is asked for."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from iotonboard.delivery.formats import table
from iotonboard.disk.files import PRIVATE, PUBLIC, create_exclusive, erase_file, make_private_dir, write_atomic
from iotonboard.disk.reading import read_file
from iotonboard.disk.walking import no_folder
from iotonboard.errors import ConflictError, IotOnboardError, NotFoundError
from iotonboard.ids import folder_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iotonboard.delivery.formats.output import Options, OutputFile

_SUFFIXES = {
    "zip": ".zip", "p12": ".p12", "pem-chain": ".pem", "c-header": ".h", "esp-nvs": ".csv", "esp-secure-cert": ".csv",
    "json": ".json", "tasmota": ".txt",
}  # fmt: skip


def target_path(folder: str, device_id: str, format_name: str, asked: Options | None = None) -> str:
    """Where one of many devices' credentials go below ``folder``; the id is checked again, as it becomes a path.

    Raises:
        PolicyError: the id is none.
    """
    return os.path.join(folder, target_name(device_id, format_name, asked))


def target_name(device_id: str, format_name: str, asked: Options | None = None) -> str:
    """What the file or folder of a device's credentials is called, unless somebody names it.

    Raises:
        PolicyError: the id is none.
    """
    suffix = ".bin" if asked and asked.nvs and asked.nvs.size else _SUFFIXES.get(format_name, "")
    name = folder_name(device_id)
    return f"{name}{suffix}" if table.find_format(format_name).single_file else name


def check_place(path: str, *, is_folder: bool, force: bool) -> None:
    """Refuse a place for credentials before anything is made for it.

    Raises:
        NotFoundError: its folder is not there.
        ConflictError: something is in the way and ``force`` was not asked for, or a link or folder is.
    """
    parent = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(parent):
        raise NotFoundError(no_folder(parent), hint="make it, or name another place with --out")
    if not is_folder:
        _refuse_taken(path, force=force)
    elif os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path)):
        raise ConflictError(f"{path!r} is not a folder", hint="choose another name: this format is several files")


def _refuse_taken(path: str, *, force: bool) -> None:
    if os.path.islink(path) or os.path.isdir(path) or (os.path.lexists(path) and not force):
        raise ConflictError(f"{path!r} exists already", hint="choose another name, or --force to replace a file")


def prepare_targets(files: list[OutputFile], out: str, *, is_folder: bool, force: bool) -> list[tuple[str, OutputFile]]:
    """Where each encoded file goes: several below the folder ``out``, made here; or one to ``out``, a second beside."""
    check_place(out, is_folder=is_folder, force=force)
    folder = out if is_folder else os.path.dirname(out)
    targets = [(os.path.join(folder, file.name), file) for file in files]
    if not is_folder:
        targets[0] = out, files[0]
    for path, _ in targets:
        _refuse_taken(path, force=force)
    if is_folder:
        make_private_dir(out)
        make_folders_below(out, files)
    return targets


def make_folders_below(out: str, files: Iterable[OutputFile]) -> None:
    """Make the folders that the names of files lead through, below ``out``.

    Raises:
        ConflictError: something else stands there.
    """
    below = {
        os.sep.join(parts[:depth])
        for file in files
        for parts in [file.name.split("/")]
        for depth in range(1, len(parts))
    }
    for name in sorted(below):
        make_private_dir(os.path.join(out, name))


def write_all(targets: Iterable[tuple[str, OutputFile]], *, force: bool) -> None:
    """Write files; without ``force`` all or none, so that the same call can be made again once the disk is well."""
    written = list[str]()
    try:
        for target, file in targets:
            placement = PRIVATE if file.secret else PUBLIC
            if force:
                write_atomic(target, file.data, placement)
            else:
                create_exclusive(target, file.data, placement)
                written.append(target)
    except IotOnboardError:
        for target in written:
            with contextlib.suppress(IotOnboardError):
                erase_file(target)
        raise


def is_there(path: str, file: OutputFile) -> bool:
    """Whether a file is there and whole.

    False too for its beginning, which a call left that was killed, and for an earlier form of one that ages.
    """
    if not os.path.lexists(path):
        return False
    if not os.path.islink(path) and os.path.isfile(path):
        found = read_file(path)
        if found == file.data:
            return True
        if file.ages or file.data.startswith(found):
            return False
    raise ConflictError(f"{path!r} exists already", hint="choose another folder")
