"""``station take``: take what stations tell, from single journals or from a whole stick.

1. Read the first lines of every file, and put those whose signature holds in an order in which each joins the last.
2. Take each in a transaction of its own: it is held against what the station told before, merged, kept beside its rows,
   and named in the office's trail, which is sealed.

3. Write their certificates into the archive, where there is one.

A file that is refused stops no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.errors import BusyError, ConflictError, IotOnboardError, PolicyError, Unpublished
from iotonboard.office.archive import archive_new
from iotonboard.office.journal_files import JournalFile, find_journals, read_head, read_parts
from iotonboard.office.judging import in_order, station_of
from iotonboard.office.taking import Taken, take_journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from iotonboard.office.key import OfficeKey
    from iotonboard.office.office import Office

Refused = tuple[str, IotOnboardError]  # a file, and why
_LARGEST_UNKNOWN = 1 << 28  # octets of a journal that a CA signed which nobody here heard of yet


def take(office: Office, paths: Sequence[str], unlock: Callable[[], OfficeKey]) -> Iterator[Taken | Refused]:
    """Take journals, each as soon as its turn comes.

    Raises:
        NotFoundError: a folder has none, or cannot be read.
        StateError: the office's trail is not believed.
        KeyUnavailableError: the office's key does not open.
    """
    files = list[JournalFile]()
    for path in dict.fromkeys(find_journals(paths)):
        try:
            files.append(read_head(path))
        except IotOnboardError as error:
            yield path, error
    is_any_full = False
    for file in in_order(files):
        try:
            if station_of(office.decisions, file.signer) is None and _size(file) > _LARGEST_UNKNOWN:
                raise PolicyError("a CA that nobody here knows signed it", hint="trust its station first")
            parts = read_parts(file)
        except IotOnboardError as error:
            yield file.path, error
            continue
        taken = _take_one(office, file, parts, unlock)
        is_any_full = is_any_full or (isinstance(taken, Taken) and taken.is_new and file.head.is_full)
        yield taken
    if is_any_full:
        office.registry.learn()


def archive_taken(office: Office) -> tuple[Unpublished, ...]:
    """Write what was taken and is not in the archive yet; what the disk refuses is done by the next call."""
    try:
        archive_new(office)
    except (BusyError, ConflictError, PolicyError) as error:
        return (Unpublished("archive", office.place("archive"), error),)
    return ()


def _size(file: JournalFile) -> int:
    return sum(part.size for part in file.head.parts)


def _take_one(
    office: Office, file: JournalFile, parts: dict[str, bytes], unlock: Callable[[], OfficeKey]
) -> Taken | Refused:
    """Take a journal, or say why not; what stands against every other one too is raised."""
    try:
        return take_journal(office, file, parts, unlock)
    except (PolicyError, ConflictError) as error:
        return file.path, error
