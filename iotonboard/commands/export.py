"""``export``: credentials in a format, to a place that the operator names; for one device or a list.

Each export is recorded before an octet of it leaves the program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.ca.credentials import Exported, encode, record_export, write_below, write_credentials
from iotonboard.errors import IotOnboardError
from iotonboard.files import make_private_dir
from iotonboard.model import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from iotonboard.ca.authority import Unlock
    from iotonboard.model import Target
    from iotonboard.state.state import State


def export(state: State, device_id: str, format_name: str, path: str, unlock: Unlock, *, force: bool) -> Exported:
    """Write one device's credentials to ``path``: a file, or a folder for formats of several files.

    Raises:
        NotFoundError: no such device, folder or valid certificate, or the secrets were purged.
        ConflictError: something is in the way.
        PolicyError: the format cannot hold this device's credentials.
        BusyError: the state is locked or the disk refuses.
    """
    return write_credentials(state, unlock(), device_id, format_name, path, force=force)


def export_stream(state: State, device_id: str, format_name: str, unlock: Unlock) -> bytes:
    """One device's credentials in a format of one file, for stdout."""
    files, _ = encode(state, unlock(), device_id, format_name)
    record_export(state, device_id, format_name, "stdout")
    return files[0].data


def export_list(
    state: State, targets: Iterable[Target | Refused], format_name: str, folder: str, unlock: Unlock, *, force: bool
) -> Iterator[Exported | Refused]:
    """Write many devices' credentials below ``folder``, which is made; a device that is refused harms no other."""
    authority = unlock()
    make_private_dir(folder)
    for target in targets:
        if isinstance(target, Refused):
            yield target
            continue
        try:
            yield write_below(state, authority, target.device_id, format_name, folder, force=force)
        except IotOnboardError as error:
            yield Refused(target.device_id, target.line, error)
