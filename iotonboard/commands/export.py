"""``export``: credentials in a format, to a place that the operator names; for one device or a list.

Each export is recorded before an octet of it leaves the program.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from iotonboard.ca.credentials import (
    Exported,
    check_exportable,
    encode,
    record_export,
    write_below,
    write_credentials,
)
from iotonboard.delivery.export_places import check_place, target_name
from iotonboard.delivery.formats.esp_nvs import image_maker
from iotonboard.delivery.formats.output import NvsImage, Options
from iotonboard.delivery.formats.table import find_format
from iotonboard.delivery.nvs_keys import are_keys
from iotonboard.disk.files import make_private_dir
from iotonboard.disk.reading import read_file
from iotonboard.enrolment.leading import refused_ahead
from iotonboard.errors import IotOnboardError, PolicyError, UsageError, quoted
from iotonboard.model import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from iotonboard.ca.authority import Unlock
    from iotonboard.model import Target
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Wanted:
    """A format, and what it was told."""

    format_name: str
    options: Options


_OPTIONS = {"legacy": "p12", "attributes": "esp-nvs", "image": "esp-nvs", "encrypt": "esp-nvs", "image-keys": "esp-nvs"}


def ask_for(format_name: str, told: Mapping[str, str | bool]) -> Wanted:
    """A format with what it was ``told``, by the names of the options of ``export``.

    Raises:
        UsageError: an option is another format's, or two of them do not go together; a size is none; Espressif's
            generator is not installed, which a partition needs.
        NotFoundError: there is no such file of NVS keys.
        PolicyError: it holds none.
    """
    for name in told:
        if format_name != _OPTIONS[name]:
            raise UsageError(f"--{name} is for --format {_OPTIONS[name]}", hint="leave it out, or name that format")
    if format_name != "esp-nvs":
        return Wanted(format_name, Options(legacy=bool(told)))
    if "encrypt" in told and "image-keys" in told:
        raise UsageError("--encrypt makes keys, and --image-keys names them", hint="choose one of them")
    attributes = told.get("attributes")
    names = None if attributes is None else tuple(filter(None, map(str.strip, str(attributes).split(","))))
    keys = b"" if "encrypt" in told else _read_keys(str(told["image-keys"])) if "image-keys" in told else None
    size = _parse_size(str(told["image"])) if "image" in told else None
    asked = NvsImage(names, size, keys)
    if size is not None:
        image_maker()
    return Wanted(format_name, Options(nvs=asked))


def default_name(device_id: str, wanted: Wanted) -> str:
    """What the file or folder of one device is called, unless somebody names it."""
    return target_name(device_id, wanted.format_name, wanted.options)


def _parse_size(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise UsageError(f"{quoted(text, 40)} is not a size", hint="write 0x4000 or 16384") from None


def _read_keys(path: str) -> bytes:
    octets = read_file(path, limit=1 << 16)
    if not are_keys(octets):
        raise PolicyError(
            f"{path!r} holds no NVS keys", hint="a key partition of 4096 octets, as 'generate-key' makes it"
        )
    return octets


def _check(state: State, device_id: str, wanted: Wanted) -> None:
    """Refuse a device before a passphrase is asked for."""
    check_exportable(state, device_id, wanted.format_name, wanted.options)


def export(state: State, device_id: str, wanted: Wanted, path: str, unlock: Unlock, *, force: bool) -> Exported:
    """Write one device's credentials to ``path``: a file, or a folder for formats of several files.

    Raises:
        NotFoundError: no such device, folder or valid certificate, or the secrets were purged.
        ConflictError: something is in the way.
        PolicyError: the format cannot hold this device's credentials.
        BusyError: the state is locked or the disk refuses.
    """
    _check(state, device_id, wanted)
    check_place(path, is_folder=not find_format(wanted.format_name).single_file, force=force)
    return write_credentials(state, unlock(), device_id, wanted.format_name, path, force=force, asked=wanted.options)


def export_stream(state: State, device_id: str, wanted: Wanted, unlock: Unlock) -> bytes:
    """One device's credentials in a format of one file, for stdout.

    Raises:
        UsageError: it is more than one file.
    """
    _check(state, device_id, wanted)
    authority = unlock()
    files, _ = encode(state, authority, device_id, wanted.format_name, wanted.options)
    if len(files) > 1:
        raise UsageError("these are two files and do not fit stdout", hint="name a file with --out")
    record_export(state, authority, device_id, wanted.format_name, "stdout")
    return files[0].data


def export_list(
    state: State, targets: Iterable[Target | Refused], wanted: Wanted, folder: str, unlock: Unlock, *, force: bool
) -> Iterator[Exported | Refused]:
    """Write many devices' credentials below ``folder``, which is made; a device that is refused harms no other.

    The CA is unlocked with the first that is not refused.
    """
    asked = iter(targets)
    first = yield from refused_ahead(asked, lambda target: _check(state, target.device_id, wanted))
    if not first:
        return
    make_private_dir(folder)
    authority = unlock()
    for target in chain(first, asked):
        if isinstance(target, Refused):
            yield target
            continue
        try:
            place = wanted.format_name, folder
            yield write_below(state, authority, target.device_id, *place, force=force, asked=wanted.options)
        except IotOnboardError as error:
            yield Refused(target.device_id, target.line, error)
