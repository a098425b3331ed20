"""Writing the files that the settings of an office name: each by itself, whole or not at all, and read back."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from iotonboard.disk.files import PRIVATE, PUBLIC, write_atomic
from iotonboard.disk.permissions import check_plain, placement_like
from iotonboard.disk.reading import file_mark, read_back, read_file
from iotonboard.errors import BusyError, IotOnboardError, Unpublished
from iotonboard.pki import pem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from iotonboard.office.fleet_acl import FleetAcl
    from iotonboard.office.giving import Given
    from iotonboard.office.office import Office

_PLACES = "published.json"  # absolute paths outside of the office's folder to which something was published
_LARGEST = 1 << 30
_SETTINGS = {"crl": "broker_crl_file", "ca": "broker_ca_file", "acl": "broker_acl_file"}
_LABELS = {"crl": "X509 CRL", "ca": "CERTIFICATE"}


def publish(
    office: Office,
    given: Given,
    *,
    here: bool,
    acl: FleetAcl | None = None,
    only: Collection[str] = ("crl", "acl", "ca"),
) -> list[Unpublished]:
    """Write CRL, CA file and ACL where they differ; returns what could not be. ``here``: also at a place that is empty.

    Whoever reads them between two renames meets nothing worse than a newer list beside an older ACL.
    """
    unpublished: list[Unpublished] = []
    steps = {what: write for what, write in _steps(given, acl).items() if what in only}
    for what, write in steps.items():
        path = office.place(_SETTINGS[what])
        try:
            if not here:
                _refuse_away(office, path)
            check_plain(path)
            write(path)
            _note(office, path)
        except IotOnboardError as error:
            unpublished.append(Unpublished(what, path, error))
    return unpublished


def _steps(given: Given, acl: FleetAcl | None) -> dict[str, Callable[[str], None]]:
    chosen = acl or given.acl()

    def write_acl(path: str) -> None:
        if not given.acl_is_current(chosen, path):
            put_acl(given, chosen, path)

    return {
        "crl": lambda path: _put("crl", path, given.crl_pem()),
        "acl": write_acl,
        "ca": lambda path: _put("ca", path, given.ca_pem()),
    }


def put_acl(given: Given, acl: FleetAcl, path: str) -> None:
    """Replace the ACL at ``path``; every piece of the region passes the strict check before it is written.

    Raises:
        PolicyError: it would break the broker; the old file stays.
        BusyError: the disk refuses; the old file stays.
    """
    write_atomic(path, given.render_acl(acl, path), placement_like(path, PUBLIC))


def _put(what: str, path: str, content: bytes) -> None:
    if content and not (os.path.exists(path) and read_file(path, limit=_LARGEST) == content):
        pem.pem_decode_all(_LABELS[what], content)
        write_atomic(path, content, placement_like(path, PUBLIC))
        if read_back(path, limit=_LARGEST) != content:
            raise BusyError(
                f"{path!r} does not hold what was written", hint="check the disk, and run the command again"
            )


# -- places that can be away ------------------------------------------------------------------------------------------


def _refuse_away(office: Office, path: str) -> None:
    """Nothing is written into an empty mount point.

    Raises:
        BusyError: something was published at a place outside of the folder, and it is not there any more.
    """
    if not file_mark(path) and path in _places(office):
        raise BusyError(
            f"{path!r} was published, and is not there any more: its disk is away",
            hint="mount that disk and run the command again; where that place begins anew, add --here",
        )


def _note(office: Office, path: str) -> None:
    known = _places(office)
    if path not in known and not path.startswith(os.path.join(os.path.abspath(office.root), "")):
        content = json.dumps(sorted({*known, path})).encode("ascii") + b"\n"
        write_atomic(os.path.join(office.root, _PLACES), content, PRIVATE)


def _places(office: Office) -> set[str]:
    path = os.path.join(office.root, _PLACES)
    try:
        return set(map(str, json.loads(read_file(path)))) if os.path.exists(path) else set()
    except (ValueError, TypeError):
        return set()
