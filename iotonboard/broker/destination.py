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
import json
import os
import re
import time
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import import_module
from typing import TYPE_CHECKING

from iotonboard.broker.acl import rule_lines
from iotonboard.broker.package import FILES
from iotonboard.broker.region import stream_operator_text
from iotonboard.errors import BusyError, ConflictError, IotOnboardError, NotFoundError, PolicyError
from iotonboard.files import PUBLIC
from iotonboard.folders import open_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from iotonboard.folders import Folder

LARGEST = 1 << 28  # octets of a file that is there: a list of a million entries has a fifth of it
_LOCK_S, _POLL_S = 30.0, 0.05
_NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)  # network shares
_LARGEST_RECORD = 1 << 26  # as the head of a package, which names the denied devices too
_COUNTER = re.compile("0|[1-9][0-9]{0,18}")
_RECORD = "applied.json"
_RULE = re.compile("(?:user .*: )?(?:topic|pattern) ")


@dataclass(frozen=True, slots=True)
class Applied:
    """The newest package that was applied. ``files`` are the SHA-256 of what was put in place then.

    ``key`` is the CA whose counter it is, empty for a package of form 1; ``replaced`` are CAs whose packages count no
    more since. ``highest`` are the numbers that were seen, by name: they begin anew with each CA. ``denied``
    are devices that a region of another copy of the state denied, and no package has since.
    """

    counter: int
    digest: str
    files: Mapping[str, str]
    key: str = ""
    replaced: tuple[str, ...] = ()
    highest: Mapping[str, int] = field(default_factory=dict)
    denied: tuple[str, ...] = ()


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
        return max(records, key=lambda one: (len(one.replaced), one.counter), default=None)

    def record(self, applied: Applied) -> None:
        """Remember a package, durably, in both places."""
        values = {
            "counter": applied.counter,
            "digest": applied.digest,
            "files": dict(applied.files),
            "key": applied.key,
            "replaced": list(applied.replaced),
            "highest": dict(applied.highest),
            "denied": list(applied.denied),
        }
        for folder, name in self._records:
            folder.write(name, json.dumps(values, indent=1).encode("ascii") + b"\n", PUBLIC)

    @property
    def _records(self) -> tuple[tuple[Folder, str], ...]:
        return (self.generations, _RECORD), (self.parent, f"{os.path.basename(self.path)}.{_RECORD}")

    # -- files ----------------------------------------------------------------------------------------------------

    def current(self, *, limit: int = LARGEST) -> dict[str, bytes]:
        """The files that are there, of at most ``limit`` octets each.

        Raises:
            ConflictError: one of them is a link or no plain file, or too large.
        """
        found = {name: self.folder.read(name, limit=limit) for name in FILES}
        return {name: content for name, content in found.items() if content is not None}

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

    def _kept(self, counter: int, name: str, *, limit: int) -> bytes | None:
        with contextlib.suppress(IotOnboardError), self.generations.sub(f"{counter:d}") as folder:
            return folder.read(name, limit=limit)
        return None

    def replace(self, files: Mapping[str, bytes], *, backwards: bool = False) -> None:
        """Put files in place, each by one rename, in the order in which a broker may meet them."""
        for name in reversed(FILES) if backwards else FILES:
            if name in files:
                self.folder.write(name, files[name], self.folder.placement(name, PUBLIC))

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


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of each file."""
    return {name: sha256(content).hexdigest() for name, content in files.items()}


def check_own_rules(there: bytes, coming: bytes, before: Iterable[bytes] = ()) -> None:
    """Make sure that a new ACL does not delete rules that somebody wrote on the broker's machine.

    Where the region there is damaged, or gone, what stood anywhere in the ACLs of packages ``before`` is no such rule.

    Raises:
        ConflictError: it would; names the first such line.
    """
    rules, kept = _own_rules(there), set(_own_rules(coming))
    if not _has_region(there) and (known := {rule for acl in before for rule in _rules(acl)}):
        whole = there[: there.rfind(b"\n") + 1]  # what a cut left of a line is none
        kept |= known | set(_rules(coming))
        rules = list(filter(_RULE.match, _rules(whole)))
    lost = next((rule for rule in rules if rule not in kept), None)
    if lost is not None:
        raise ConflictError(
            f"the ACL here holds a rule of its own that the package lacks: {lost!r}",
            hint="write it into the ACL on the workstation and pack again, or drop it with --replace-rules",
        )


def _own_rules(acl: bytes) -> list[str]:
    """The rules outside of the program's region; all of them where its markers are damaged."""
    try:
        operator = stream_operator_text([acl])
    except PolicyError:
        return _rules(acl)
    return _rules(operator.before + b"\n" + operator.after)


def _has_region(acl: bytes) -> bool:
    try:
        return stream_operator_text([acl]).has_region
    except PolicyError:
        return False


def _rules(acl: bytes) -> list[str]:
    """The rules of an ACL, each with the user it belongs to."""
    rules, user = [], ""
    for _, keyword, rest in rule_lines(acl):
        if keyword == "user":
            user = f"user {rest}: "
        else:
            rules.append(f"{user if keyword == 'topic' else ''}{keyword} {rest}")
    return rules


def _read_record(folder: Folder, name: str) -> Applied | None:
    content = folder.read(name, limit=_LARGEST_RECORD)
    if content is None:
        return None
    try:
        values = json.loads(content)
        highest = {str(name): int(number) for name, number in values.get("highest", {}).items()}
        replaced, key = tuple(map(str, values.get("replaced", ()))), str(values.get("key", ""))
        denied = tuple(map(str, values.get("denied", ())))
        counter, digest = int(values["counter"]), str(values["digest"])
        return Applied(counter, digest, dict(values["files"]), key, replaced, highest, denied)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise PolicyError(
            f"{folder.file(name)!r}, which says what was applied last, cannot be read",
            hint="nothing was touched; --accept-older goes on without it, when you know that the package is the newest",
        ) from error
