"""Journals as they lie on a stick: found, and read no further than their signature allows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.disk.reading import read_file, read_start
from iotonboard.errors import ConflictError, NotFoundError, PolicyError
from iotonboard.exchange.journal import LARGEST_HEAD, JournalHead, SignedHead, split_head

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ENDING = ".journal"
_OF_THE_SYSTEM = frozenset({"lost+found", "System Volume Information", "$RECYCLE.BIN"})
_DAMAGED = "nothing of it was taken; copy the journal again, or have the station write it anew"


@dataclass(frozen=True, slots=True)
class JournalFile:
    """A journal whose first lines were read, and hold of the first certificate that they bring along.

    Whether that is a station's CA is another question. ``begins``: where the parts begin.
    """

    path: str
    signed: SignedHead
    head: JournalHead
    begins: int

    @property
    def signer(self) -> bytes:
        """The certificate (DER) that goes with the signature."""
        return self.signed.certificates[0]


def find_journals(paths: Iterable[str]) -> Iterator[str]:
    """The files that are named, and of folders every file in and below them whose name ends in ``.journal``.

    A folder below that cannot be read is given as it is: whoever reads it as a file says so.

    Raises:
        NotFoundError: a folder has none, or cannot be read.
    """
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        try:
            os.scandir(path).close()
        except OSError as error:
            raise NotFoundError(f"cannot read {path!r}: {error.strerror}", hint="plug the stick in again") from None
        found = sorted(_below(path))
        if not found:
            raise NotFoundError(f"there is no journal in {path!r}", hint="a station writes one: iotonboard journal")
        yield from found


def _below(folder: str) -> list[str]:
    """No link is followed; what begins with a dot is the system's own: a Mac leaves ``._NAME`` beside each file."""
    unreadable, found = list[str](), list[str]()

    def note(error: OSError) -> None:
        if os.path.basename(error.filename) not in _OF_THE_SYSTEM:
            unreadable.append(error.filename)

    for at, folders, names in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            os.path.join(at, name) for name in names if name.lower().endswith(ENDING) and not name.startswith(".")
        ]
    return found + unreadable


def read_head(path: str) -> JournalFile:
    """Read the first lines of a journal.

    Raises:
        NotFoundError: there is no such file.
        PolicyError: it is no journal, cut off, or the signature does not hold.
        BusyError: the disk refuses.
    """
    octets = read_start(path, LARGEST_HEAD + 1)
    found = split_head(octets)
    if found is None or not found[0].certificates:
        raise PolicyError("the journal is cut off", hint=_DAMAGED)
    signed, begins = found
    if not signed.holds(signed.certificates[0]):
        raise PolicyError("the signature does not hold: the journal is damaged, or somebody changed it", hint=_DAMAGED)
    return JournalFile(path, signed, signed.read(), begins)


def read_parts(file: JournalFile) -> dict[str, bytes]:
    """The parts' octets by their names, once it is clear whose journal that is; their digests are not looked at.

    Raises:
        PolicyError: the file has another length than the head says.
        BusyError: the disk refuses.
        NotFoundError: it is gone, as of a stick that was pulled out.
    """
    size = file.begins + sum(part.size for part in file.head.parts)
    try:
        octets = read_file(file.path, limit=size)
    except ConflictError:
        octets = b""
    if len(octets) != size or not octets.startswith(file.signed.statement):
        raise PolicyError("the journal is cut off, or another file by now", hint=_DAMAGED)
    parts, at = dict[str, bytes](), file.begins
    for part in file.head.parts:
        parts[part.name] = octets[at : at + part.size]
        at += part.size
    if len(parts) != len(file.head.parts):
        raise PolicyError("the journal has a part twice", hint=_DAMAGED)
    return parts
