"""``export``: credentials in a format, to a place that the operator names; for one device or a list."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from iotonboard.ca.credentials import encode, prepare_targets, record_export, target_path, write_files
from iotonboard.delivery.formats.table import find_format
from iotonboard.errors import IotOnboardError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from iotonboard.ca.authority import Authority
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Exported:
    """Where a device's credentials went, and the password that opens them if there is one; or why they did not."""

    device_id: str
    path: str = ""
    password: str | None = field(default=None, repr=False)
    line: int = 0
    error: IotOnboardError | None = None


def export(state: State, authority: Authority, device_id: str, format_name: str, path: str, *, force: bool) -> Exported:
    """Write one device's credentials to ``path``: a file, or a folder for formats of several files.

    Raises:
        NotFoundError: no such device, folder or valid certificate, or the secrets were purged.
        ConflictError: something is in the way.
        PolicyError: the format cannot hold this device's credentials.
        BusyError: the state is locked or the disk refuses.
    """
    chosen = find_format(format_name)
    files, password = encode(state, authority, device_id, format_name)
    targets = prepare_targets(files, path, is_folder=not chosen.single_file, force=force)
    record_export(state, device_id, format_name, os.path.abspath(path))
    write_files(targets, force=force)
    return Exported(device_id, path, password if chosen.needs_password else None)


def export_stream(state: State, authority: Authority, device_id: str, format_name: str) -> bytes:
    """One device's credentials in a format of one file, for stdout; recorded before they are returned."""
    files, _ = encode(state, authority, device_id, format_name)
    record_export(state, device_id, format_name, "stdout")
    return files[0].data


def export_batch(
    state: State,
    authority: Authority,
    targets: Iterable[tuple[int, str]],
    format_name: str,
    folder: str,
    *,
    force: bool,
) -> Iterator[Exported]:
    """Write many devices' credentials below ``folder``; a device that is refused harms no other."""
    for line, device_id in targets:
        try:
            path = target_path(folder, device_id, format_name)
            done = export(state, authority, device_id, format_name, path, force=force)
        except IotOnboardError as error:
            yield Exported(device_id, line=line, error=error)
        else:
            yield Exported(device_id, done.path, done.password, line)
