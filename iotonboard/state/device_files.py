"""The files of devices and brokers below ``certs/``: certificate, encrypted key and bundle, written from their rows.

What is to be written is noted beside the certificate's row (``store/pending.py``) until it is durable on disk.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from iotonboard.disk.files import (
    PRIVATE,
    PUBLIC,
    erase_file,
    make_private_dir,
    sweep_staging,
    sync_together,
    write_atomic,
    write_together,
)
from iotonboard.errors import BusyError, IotOnboardError, Unpublished
from iotonboard.pki import pem
from iotonboard.state.alone import attempt
from iotonboard.state.places import Place, check_here, note_published
from iotonboard.state.sent_chain import as_sent, chains_behind
from iotonboard.store.pending import clear_pending, pending_files, pending_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from iotonboard.disk.permissions import Placement
    from iotonboard.state.layout import Folder, Paths
    from iotonboard.state.state import State
    from iotonboard.store.pending import PendingFiles

    Refused = dict[int, IotOnboardError]  # certificate row -> why its files could not be written
    # Starts ``write_group`` elsewhere, and returns what waits for its answer.
    StartWriting = Callable[[Paths, list[PendingFiles]], Callable[[], Refused]]

_GROUP = 1024  # certificates whose files are in memory at a time


def write_devices(state: State) -> list[Unpublished]:
    """Write the files of every device that is noted, inside the caller's transaction; durable when this returns."""
    return _write_noted(state, is_broker=False)


def write_brokers(state: State) -> list[Unpublished]:
    """Write the files of every broker that is noted, inside the caller's transaction; durable when this returns."""
    return _write_noted(state, is_broker=True)


@contextlib.contextmanager
def writing(state: State, start: StartWriting) -> Iterator[None]:
    """Inside a transaction, write elsewhere, while the block runs, the device files that were noted before it.

    What something else than the disk refuses, or is for a disk that is away, stays noted: ``write_devices`` tells it.

    Raises:
        BusyError: the disk refuses.
    """
    if _away(state, is_broker=False):
        yield
        return
    group = _with_chains(state, pending_files(state.store, _GROUP, is_broker=False))
    finish = start(state.paths, group)
    try:
        yield
    finally:
        refused = finish()
    for error in refused.values():
        if isinstance(error, BusyError):
            raise error
    clear_pending(state.store, (files.certificate for files in group if files.certificate not in refused))


class FileBacklog:
    """The device files of a stream that are written, and not durable yet: waiting for the disk takes the most time.

    They stay noted until ``settle``, so after a power cut the next command writes them again.
    """

    def __init__(self) -> None:
        # Certificate row -> hash of what was written; nothing where that was refused, and is tried again behind settle.
        self._written: dict[int, int | None] = {}

    def __len__(self) -> int:
        return len(self._written)

    def write(self, state: State) -> list[Unpublished]:
        """Write the files of devices that nobody wrote yet; returns what refused which of them.

        Raises:
            BusyError: the state is locked.
        """
        unpublished: list[Unpublished] = []
        with state.store.transaction(durable=False):
            while group := pending_files(state.store, _GROUP, after=max(self._written, default=0), is_broker=False):
                if away := _away(state, is_broker=False):
                    return away
                for files in _with_chains(state, group):
                    self._written[files.certificate] = None
                    folder = _folder_of(state.paths, files).path
                    unpublished += attempt("device files", folder, partial(self._write_one, state.paths, files))
        return unpublished

    def _write_one(self, paths: Paths, files: PendingFiles) -> None:
        _make_parent(paths, [files])
        _prepare(paths, files)
        for path, content, placement in _wanted(paths, files):
            write_atomic(path, content, placement, durable=False)
        self._written[files.certificate] = hash(files)

    def settle(self, state: State) -> list[Unpublished]:
        """Make durable what is written: a publication step that comes before ``publish_device_files``."""
        written, self._written = self._written, {}
        if _away(state, is_broker=False):
            return []  # the step behind tells it, and writes all of them when the disk is back
        unpublished: list[Unpublished] = []
        for noted in pending_groups(state.store, _GROUP, is_broker=False):
            group = [files for files in _with_chains(state, noted) if written.get(files.certificate) == hash(files)]
            unpublished += _note(state, group, _sync(state.paths, group))
        return unpublished


def _write_noted(state: State, *, is_broker: bool) -> list[Unpublished]:
    unpublished: list[Unpublished] = []
    is_there = False
    for group in pending_groups(state.store, _GROUP, is_broker=is_broker):
        if not is_there and (away := _away(state, is_broker=is_broker)):
            return away
        is_there = True
        unpublished += _note(state, group, write_group(state.paths, _with_chains(state, group)))
    return unpublished


def _with_chains(state: State, group: list[PendingFiles]) -> list[PendingFiles]:
    """The same, with the CAs that are sent behind each certificate."""
    chains = chains_behind(state.store)
    return [replace(files, behind=chains.get(files.issuer, ())) for files in group] if chains else group


def _away(state: State, *, is_broker: bool) -> list[Unpublished]:
    """That the disk that the folders are on is away, where it is."""
    try:
        check_here(state, Place.CA)
    except IotOnboardError as error:
        return [Unpublished("broker files" if is_broker else "device files", state.paths.certs, error)]
    note_published(state, Place.CA)
    return []


def _note(state: State, group: Sequence[PendingFiles], refused: Refused) -> list[Unpublished]:
    """Note what is done of a group; what was refused stays noted as unwritten."""
    clear_pending(state.store, (files.certificate for files in group if files.certificate not in refused))
    return [
        Unpublished("broker files" if files.is_broker else "device files", _folder_of(state.paths, files).path, error)
        for files in group
        if (error := refused.get(files.certificate))
    ]


def write_group(paths: Paths, group: Sequence[PendingFiles]) -> Refused:
    """Write the files of several certificates, durable when this returns, and erase a key or a bundle that one lacks.

    Returns what refused which; one that is refused harms no other.
    """
    try:
        _make_parent(paths, group)
    except IotOnboardError as error:
        return {files.certificate: error for files in group}
    refused: Refused = {}
    contents: dict[str, tuple[bytes, Placement]] = {}
    owners: dict[str, int] = {}
    fresh: set[str] = set()
    for files in group:
        try:
            if _prepare(paths, files):
                fresh.add(_folder_of(paths, files).path)
        except IotOnboardError as error:
            refused[files.certificate] = error
            continue
        for path, content, placement in _wanted(paths, files):
            contents[path], owners[path] = (content, placement), files.certificate
    for path, reason in write_together(contents, fresh).items():
        refused.setdefault(owners[path], reason)
    return refused


def _sync(paths: Paths, group: Sequence[PendingFiles]) -> Refused:
    """Make files durable that were written before."""
    owners = {path: files.certificate for files in group for path, _, _ in _wanted(paths, files)}
    refused: Refused = {}
    for path, error in sync_together(owners).items():
        refused.setdefault(owners[path], error)
    return refused


def _make_parent(paths: Paths, group: Sequence[PendingFiles]) -> None:
    """Make the folder that those of a group lie in."""
    make_private_dir(paths.certs)
    make_private_dir(paths.brokers if group[0].is_broker else paths.devices)


def _prepare(paths: Paths, files: PendingFiles) -> bool:
    """Make the folder, or rid the one that is there of what does not belong; ``True`` when it was made."""
    folder = _folder_of(paths, files)
    if make_private_dir(folder.path, durable=False):
        return True
    sweep_staging(folder.path)
    wanted = {path for path, _, _ in _wanted(paths, files)}
    for path in {folder.key, folder.bundle} - wanted:
        erase_file(path)
    return False


def _wanted(paths: Paths, files: PendingFiles) -> list[tuple[str, bytes, Placement]]:
    """What lies in the folder of a device or broker: path, content and mode."""
    folder = _folder_of(paths, files)
    wanted = [(folder.certificate, as_sent(files.der, files.behind), PUBLIC)]
    if files.key_der is not None:
        wanted.append((folder.key, pem.pem_encode("ENCRYPTED PRIVATE KEY", files.key_der), PRIVATE))
    if files.bundle is not None:
        wanted.append((folder.bundle, files.bundle, PRIVATE))
    return wanted


def _folder_of(paths: Paths, files: PendingFiles) -> Folder:
    return paths.broker(files.name) if files.is_broker else paths.device(files.name)
