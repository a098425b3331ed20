"""Writing the files that the settings of an office name: each by itself, whole or not at all, and read back."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from iotonboard.disk.files import PRIVATE, PUBLIC, write_atomic
from iotonboard.disk.permissions import check_plain, placement_like
from iotonboard.disk.reading import file_mark, read_back, read_file
from iotonboard.errors import BusyError, IotOnboardError, Unpublished
from iotonboard.pki import pem

if TYPE_CHECKING:
    from collections.abc import Collection

    from iotonboard.office.fleet_acl import FleetAcl
    from iotonboard.office.giving import Given
    from iotonboard.office.office import Office

# What was published: in places outside of the office's folder, and of which moment the files are.
_MEMORY = "published.json"
_LARGEST = 1 << 30
_SETTINGS = {"crl": "broker_crl_file", "ca": "broker_ca_file", "acl": "broker_acl_file"}
_LABELS = {"crl": "X509 CRL", "ca": "CERTIFICATE"}


def publish(
    office: Office,
    given: Given,
    *,
    here: bool = False,
    acl: FleetAcl | None = None,
    acl_differs: bool | None = None,
    only: Collection[str] = ("crl", "acl", "ca"),
) -> list[Unpublished]:
    """Write CRL, CA file and ACL where they differ; returns what could not be. ``here``: also at a place that is empty.

    ``acl_differs`` says whether the ACL does, where that was looked at. Whoever reads the files between two renames
    meets nothing worse than a newer list beside an older ACL.
    """
    unpublished: list[Unpublished] = []
    memory = _Memory(office)
    for what in (one for one in ("crl", "acl", "ca") if one in only):
        path = office.place(_SETTINGS[what])
        try:
            if not here:
                memory.refuse_away(path)
            check_plain(path)
            if what == "acl" and acl_differs is not None:
                if acl_differs:
                    put_acl(given, acl or given.acl(), path)
            elif not memory.is_of(what, path, given.mark):
                _bring_up(given, what, path)
            memory.note(what, path, given.mark)
        except IotOnboardError as error:
            unpublished.append(Unpublished(what, path, error))
    memory.keep()
    return unpublished


def _bring_up(given: Given, what: str, path: str) -> None:
    if what != "acl":
        _put(what, path, given.crl_pem() if what == "crl" else given.ca_pem())
    elif not given.acl_is_current(acl := given.acl(), path):
        put_acl(given, acl, path)


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


class _Memory:
    """What this machine published before: a file that somebody empties costs a comparison, and no more."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._path = os.path.join(office.root, _MEMORY)
        self._said: dict[str, Any] = {"places": [], "files": {}}
        try:
            found = json.loads(read_file(self._path)) if os.path.exists(self._path) else self._said
            self._said = {"places": [str(one) for one in found["places"]], "files": dict(found["files"])}
        except (ValueError, TypeError, KeyError):
            pass
        self._before = json.dumps(self._said)

    def refuse_away(self, path: str) -> None:
        """Nothing is written into an empty mount point.

        Raises:
            BusyError: something was published at a place outside of the folder, and it is not there any more.
        """
        if not file_mark(path) and path in self._said["places"]:
            raise BusyError(
                f"{path!r} was published, and is not there any more: its disk is away",
                hint="mount that disk and run the command again; where that place begins anew, add --here",
            )

    def is_of(self, what: str, path: str, mark: str) -> bool:
        """Say whether a file is the one that was written, of what is given out now."""
        found = file_mark(path)
        return bool(found) and self._said["files"].get(what) == [found, mark]

    def note(self, what: str, path: str, mark: str) -> None:
        """Note what was written."""
        is_inside = path.startswith(os.path.join(os.path.abspath(self._office.root), ""))
        if not is_inside and path not in self._said["places"]:
            self._said["places"].append(path)
        self._said["files"][what] = [file_mark(path), mark]

    def keep(self) -> None:
        """Write it down where it changed."""
        if (content := json.dumps(self._said)) != self._before:
            write_atomic(self._path, content.encode("ascii") + b"\n", PRIVATE)
