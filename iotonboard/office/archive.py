"""The archive of certificates: a folder with a file for each journal that was taken, which holds what it brought.

``FOLDER/STATION/001-000012.pem`` has the certificates that the twelfth journal of a station brought, each below a line
that says whose it is. A folder that was written to before has a mark, by which one that is away is known.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from iotonboard.disk.files import PUBLIC, make_dir, write_atomic
from iotonboard.disk.reading import read_file
from iotonboard.disk.walking import no_folder
from iotonboard.errors import BusyError, PolicyError
from iotonboard.exchange.journal import split_head, unpack_part
from iotonboard.exchange.tables import BY_NAME, decode_rows
from iotonboard.model import SerialNumber
from iotonboard.pki.pem import pem_encode
from iotonboard.store.registry.journals import journals, part_octets
from iotonboard.store.registry.stations import device_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotonboard.office.decisions import TrustedStation
    from iotonboard.office.office import Office
    from iotonboard.store.registry.journals import KeptJournal

MARK = "iotonboard-archive.txt"
_PART = "certificate"


def archive_new(office: Office) -> int:
    """Write what is not in the archive yet; returns how many files. Without the setting ``archive`` there is none.

    Raises:
        BusyError: the folder is away, or the disk refuses: what was taken stays, and the next call goes on.
        PolicyError: a journal that was kept is not the one that was taken.
    """
    if not office.settings["archive"]:
        return 0
    folder = office.place("archive")
    _find(office, folder)
    written = 0
    for station in office.decisions.stations.values():
        there = set(os.listdir(os.path.join(folder, station.name))) if _make(folder, station.name) else set[str]()
        for kept in journals(office.registry, station.id):
            name = f"{station.id:03}-{kept.number:06}.pem"
            if name not in there and kept.number <= len(station.taken):
                content = b"".join(_blocks(office, station, kept))
                write_atomic(os.path.join(folder, station.name, name), content, PUBLIC)
                written += 1
    return written


def _find(office: Office, folder: str) -> None:
    """Know the archive by its mark, and make that where the folder is named for the first time."""
    key = f"archive {office.memory.registry} {folder}"
    mark, was_there = os.path.join(folder, MARK), office.registry.value(key) is not None
    if not os.path.isdir(folder):
        raise BusyError(f"the archive is away: {no_folder(folder)}", hint="mount it, and take the same files again")
    if os.path.exists(mark):
        if read_file(mark, limit=1 << 16).split()[-1:] != [office.memory.registry.encode("ascii")]:
            raise BusyError(f"{folder!r} is the archive of another office", hint="name another one as 'archive'")
    elif was_there:
        raise BusyError(
            f"the archive is away: {folder!r} is empty", hint="mount it there, and take the same files again"
        )
    else:
        write_atomic(mark, f"Certificates of the office {office.memory.registry}\n".encode("ascii"), PUBLIC)
    if not was_there:
        office.registry.set_value(key, "begun")


def _make(folder: str, name: str) -> bool:
    """Make a station's folder; say whether it was there."""
    return not make_dir(os.path.join(folder, name), 0o755)


def _blocks(office: Office, station: TrustedStation, kept: KeptJournal) -> Iterator[bytes]:
    found = split_head(kept.head)
    if found is None or found[0].digest != station.taken[kept.number - 1]:
        raise PolicyError(
            f"journal {kept.number} of {station.name!r} in the registry is not the one that was taken",
            hint="somebody wrote into the registry: bring its newest copy back",
        )
    part = next((one for one in found[0].read().parts if one.name == _PART), None)
    octets = part_octets(office.registry, kept, _PART)
    if part is None or octets is None:
        return
    devices = device_names(office.registry, station.id)
    for values, is_there in decode_rows(BY_NAME[_PART], unpack_part(part, octets)):
        if is_there:
            _, serial, _, device, host, *_, der, _ = values
            holder = host or devices.get(device, "")
            yield f"{holder} {SerialNumber.from_octets(serial).hex}\n".encode() + pem_encode("CERTIFICATE", der)
