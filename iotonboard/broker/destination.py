"""The folder on a broker's machine that packages are applied to: what was applied, and the files of before.

::

    DEST/crl.pem mosquitto.acl ca.crt       what the broker reads
    DEST/generations/<counter>/             the same files of the last packages, for inspection and for the way back
    DEST/generations/applied.json           counter and digest of the newest package
    DEST.applied.json                       the same again, beside: emptying DEST does not make an old package new

No state and no key is needed here. One process at a time: a lock on the folder itself, which a killed process cannot
leave behind. The folder belongs to the broker's user, and root may work here: see ``iotonboard/folders``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from itertools import count
from typing import TYPE_CHECKING

from iotonboard.broker.applied import parse_applied, render_applied
from iotonboard.broker.package import CA, CRL, FILES
from iotonboard.disk.entries import staging_name
from iotonboard.disk.files import PUBLIC
from iotonboard.disk.folders import open_folder
from iotonboard.errors import (
    BusyError,
    IotOnboardError,
    NotFoundError,
    PolicyError,
    Unpublished,
    disk_error,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from iotonboard.broker.applied import Applied
    from iotonboard.disk.folders import Folder

LARGEST = 1 << 28  # octets of a file that is there: a list of a million entries has a fifth of it
_LOCK_S, _POLL_S = 30.0, 0.05
_NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)  # network shares
_LARGEST_RECORD = 1 << 26  # as the head of a package, which names the denied devices too
_COUNTER = re.compile("0|[1-9][0-9]{0,18}")
_RECORD = "applied.json"


@dataclass(frozen=True, slots=True)
class Destination:
    """The folder, held open, with the one that it lies in and that of the generations; see ``open_destination``."""

    folder: Folder
    parent: Folder
    generations: Folder

    @property
    def path(self) -> str:
        """The folder's name, without links."""
        return self.folder.path

    def file(self, name: str) -> str:
        """A file that the broker reads."""
        return self.folder.file(name)

    def generation(self, counter: int) -> str:
        """Folder of one generation."""
        return self.generations.file(f"{counter:d}")

    # -- what was applied -----------------------------------------------------------------------------------------

    def applied(self) -> Applied | None:
        """The newest package that was ever applied, by the record in the folder or the one beside it.

        Raises:
            PolicyError: a record cannot be read; it is not taken for "none".
            ConflictError: something else stands in its place.
        """
        found = [_read_record(folder, name) for folder, name in self._records]
        # Counters of two CAs cannot be compared: the newer record knows more of those that were replaced.
        records = [one for one in found if one is not None]
        # A station's counter is not comparable with another's either: whoever knows more of them is newer.
        return max(records, key=lambda one: (len(one.withdrawn), len(one.replaced), _packages(one)), default=None)

    def record(self, applied: Applied) -> None:
        """Remember a package, durably, in both places."""
        for folder, name in self._records:
            folder.write(name, render_applied(applied), PUBLIC)

    @property
    def _records(self) -> tuple[tuple[Folder, str], ...]:
        return (self.generations, _RECORD), (self.parent, f"{os.path.basename(self.path)}.{_RECORD}")

    # -- files ----------------------------------------------------------------------------------------------------

    def current(self, *, limit: int = LARGEST) -> dict[str, bytes]:
        """The files that are there and can be read, of at most ``limit`` octets each.

        Raises:
            ConflictError: one of them is a link or no plain file, or too large.
        """
        found = {}
        for name in FILES:
            with contextlib.suppress(BusyError):
                found[name] = self.folder.read(name, limit=limit)
        return {name: content for name, content in found.items() if content is not None}

    def unread(self, current: Mapping[str, bytes]) -> tuple[str, ...]:
        """What is there and not among the files that could be read: the disk refuses it, or who runs this."""
        found = []
        for name in (name for name in FILES if name not in current):
            with contextlib.suppress(OSError):
                self.folder.kind(name)
                found.append(name)
        return tuple(found)

    def keep(self, counter: int, files: Mapping[str, bytes]) -> str:
        """Keep a generation with the owners and modes that its files have or will have; returns its folder."""
        with self.generations.sub(f"{counter:d}", make_mode=0o755) as folder:
            for name, content in files.items():
                folder.write(name, content, self.folder.placement(name, PUBLIC))
            return folder.path

    def counters(self) -> list[int]:
        """The generations that are kept, oldest first; 0 are files that no package brought."""
        return sorted(int(name) for name in self.generations.names(folders=True) if _COUNTER.fullmatch(name))

    def generation_of(self, files: Mapping[str, bytes]) -> int:
        """The newest kept package that brought exactly these files; 0 when none did."""
        return next((one for one in reversed(self.counters()) if self._brought(one, files)), 0)

    def _brought(self, counter: int, files: Mapping[str, bytes]) -> bool:
        return all(self._kept(counter, name, limit=len(content)) == content for name, content in files.items())

    def kept(self, name: str) -> Iterator[bytes]:
        """A file of each kept generation that has it, the newest first."""
        for counter in reversed(self.counters()):
            content = self._kept(counter, name, limit=LARGEST)
            if content is not None:
                yield content

    def newest_kept(self, names: Iterable[str]) -> dict[str, bytes]:
        """Files as the newest generation has them that has them."""
        found = {name: next(self.kept(name), None) for name in names}
        return {name: content for name, content in found.items() if content is not None}

    def _kept(self, counter: int, name: str, *, limit: int) -> bytes | None:
        with contextlib.suppress(IotOnboardError), self.generations.sub(f"{counter:d}") as folder:
            return folder.read(name, limit=limit)
        return None

    def replace(self, files: Mapping[str, bytes], *, backwards: bool = False) -> None:
        """Put files in place, each by one rename, in the order in which a broker may meet them."""
        for name in reversed(FILES) if backwards else FILES:
            if name in files:
                self.folder.write(name, files[name], self.folder.placement(name, PUBLIC))

    def put_in_place(
        self, files: Mapping[str, bytes], current: Mapping[str, bytes], unread: Sequence[str]
    ) -> tuple[list[Unpublished], list[str]]:
        """As ``replace``, each file alone; a CA without its list is left out. What could not be read stays beside.

        One that says the same as the ``current`` one is written too, for the sake of its mode, and may stay as it is.
        Returns what was refused, and where the ``unread`` files lie now.
        """
        refused, aside = dict[str, IotOnboardError](), []
        for name in (name for name in FILES if name in files):
            if name == CA and CRL in refused:
                continue
            try:
                if name in unread:
                    aside.append(self._replace_unread(name, files[name]))
                else:
                    self.replace({name: files[name]})
            except IotOnboardError as error:
                if current.get(name) != files[name]:
                    refused[name] = error
        return [Unpublished(name, self.file(name), error) for name, error in refused.items()], aside

    def _replace_unread(self, name: str, content: bytes) -> str:
        """Replace a file that may hold what nobody else has; the broker misses it for two renames only."""
        fresh, taken = staging_name(name), set(self.folder.names())
        aside = next(one for number in count(1) if (one := f"{name}.unread-{number}") not in taken)
        self.folder.write(fresh, content, PUBLIC)
        try:
            self.folder.move(name, self.folder, aside)
            self.folder.move(fresh, self.folder, name)
            self.folder.sync()
        except OSError as error:
            self.folder.remove(fresh)
            raise disk_error(error, self.file(name)) from error
        return self.file(aside)

    def forget(self, counter: int) -> None:
        """Delete a generation, as far as it is one."""
        with contextlib.suppress(IotOnboardError), self.generations.sub(f"{counter:d}") as folder:
            for name in FILES:
                folder.remove(name)
            folder.sweep()
        with contextlib.suppress(OSError):
            self.generations.rmdir(f"{counter:d}")

    def thin(self, keep: int) -> None:
        """Delete all but the newest ``keep`` generations."""
        counters = self.counters()
        for counter in counters[: max(len(counters) - keep, 0)]:
            self.forget(counter)


@contextlib.contextmanager
def open_destination(path: str) -> Iterator[Destination]:
    """Open a folder on a broker's machine, and keep other processes out.

    Raises:
        NotFoundError: there is no such folder.
        ConflictError: a link of somebody else's leads root there, or what belongs in it is something else.
        BusyError: another process applies a package right now, or the disk refuses.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(open_folder(path))
        except NotFoundError as error:
            raise NotFoundError(
                error.message, hint="make it, so that the broker's user may enter it: mkdir -m 755"
            ) from None
        _keep_others_out(folder)
        parent = stack.enter_context(open_folder(os.path.dirname(folder.path)))
        generations = stack.enter_context(folder.sub("generations", make_mode=0o755))
        folder.sweep()
        yield Destination(folder, parent, generations)


def _keep_others_out(folder: Folder) -> None:
    """Keep other processes out that ask for the same, until the folder is closed; a killed one leaves nothing.

    On network shares that know no such lock, and on Windows, nobody is kept out.

    Raises:
        BusyError: another one holds it for too long.
    """
    if folder.descriptor < 0:
        return
    fcntl, deadline = import_module("fcntl"), time.monotonic() + _LOCK_S
    while True:
        try:
            fcntl.flock(folder.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return
            if time.monotonic() > deadline:
                raise BusyError(f"{folder.path!r} is busy", hint="run the same command again") from error
            time.sleep(_POLL_S)
        else:
            return


def _packages(applied: Applied) -> tuple[int, int]:
    counters = [applied.counter, *(one.counter for one in applied.stations.values())]
    return len(counters), sum(counters)


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of each file."""
    return {name: sha256(content).hexdigest() for name, content in files.items()}


def _read_record(folder: Folder, name: str) -> Applied | None:
    content = folder.read(name, limit=_LARGEST_RECORD)
    if content is None:
        return None
    try:
        return parse_applied(content)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise PolicyError(
            f"{folder.file(name)!r}, which says what was applied last, cannot be read",
            hint="nothing was touched; --accept-older goes on without it, when you know that the package is the newest",
        ) from error
