"""Certification requests as files: one, or a folder of them, as a stick brings it from the line."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iotonboard.disk.reading import read_file
from iotonboard.disk.walking import no_folder
from iotonboard.enrolment.request import Request
from iotonboard.errors import ConflictError, IotOnboardError, NotFoundError, PolicyError
from iotonboard.model import DeviceId, Refused
from iotonboard.pki.csr import MAX_CSR_OCTETS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

STDIN: Final = "-"
_OF_REQUESTS: Final = (".csr", ".req", ".p10")
_OF_ENCODINGS: Final = (".pem", ".der")


@dataclass(frozen=True, slots=True)
class CsrFolder:
    """A folder of requests. ``names`` are their files; ``passed_over`` is whatever else lies there.

    That is what has none of the endings, folders, and names that begin with a dot: a Mac leaves a file ``._NAME``
    beside each on a stick.
    """

    path: str
    names: tuple[str, ...]
    passed_over: tuple[str, ...]


def look_into(folder: str) -> CsrFolder:
    """Tell the requests of a folder from what else lies in it, in the order of the names.

    Raises:
        NotFoundError: the folder cannot be read, or there is no request in it.
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        reason = f"cannot read {folder!r}: {error.strerror}" if os.path.isdir(folder) else no_folder(folder)
        raise NotFoundError(reason, hint="name a folder of requests") from None
    requests = tuple(name for name in names if _is_request(folder, name))
    if not requests:
        endings = ", ".join(f"ID{ending}" for ending in (*_OF_REQUESTS, *_OF_ENCODINGS))
        raise NotFoundError(f"there is no request in {folder!r}", hint=f"name the files {endings}")
    return CsrFolder(folder, requests, tuple(name for name in names if name not in set(requests)))


def read_csr_folder(folder: CsrFolder) -> Iterator[Request | Refused]:
    """One device for each request, whose file's name without its endings is the id."""
    files_of: dict[str, str] = {}
    for number, name in enumerate(folder.names, start=1):
        stem = _stem(name)
        try:
            if not stem.isprintable():  # as are octets that are not UTF-8
                raise PolicyError(f"the file's name {name!r} is no text that can be shown", hint="rename the file")
            device_id = DeviceId(stem)
            other = files_of.setdefault(stem.lower(), name)
            if other != name:
                raise ConflictError(f"{other!r} and {name!r} are for one device", hint="remove one of the two")
            octets = read_file(os.path.join(folder.path, name), limit=MAX_CSR_OCTETS)
        except IotOnboardError as error:
            yield Refused(stem if stem.isprintable() else repr(stem)[1:-1], number, error)
        else:
            yield Request(device_id=device_id, line=number, csr=octets)


def read_csr(source: str, stdin: BinaryIO) -> bytes:
    """Read one certification request; ``-`` is ``stdin``.

    Raises:
        NotFoundError: there is no such file.
        ConflictError: it is too large for a request.
    """
    return stdin.read(MAX_CSR_OCTETS + 1) if source == STDIN else read_file(source, limit=MAX_CSR_OCTETS)


def _is_request(folder: str, name: str) -> bool:
    is_named_so = name.lower().endswith((*_OF_REQUESTS, *_OF_ENCODINGS)) and not name.startswith(".")
    return is_named_so and not os.path.isdir(os.path.join(folder, name))


def _stem(name: str) -> str:
    """``press-1`` of ``press-1.csr``, ``press-1.pem`` and ``press-1.csr.pem``."""
    stem, ending = os.path.splitext(name)
    inner, first = os.path.splitext(stem)
    return inner if ending.lower() in _OF_ENCODINGS and first.lower() in _OF_REQUESTS else stem
