"""The folder on a broker's machine that packages are applied to: what was applied, and the files of before.

::

    DEST/crl.pem mosquitto.acl ca.crt       what the broker reads
    DEST/generations/<counter>/             the same files of the last packages, for inspection and for the way back
    DEST/generations/applied.json           counter and digest of the newest package
    DEST.applied.json                       the same again, beside: emptying DEST does not make an old package new

No state and no key is needed here. One process at a time: SQLite's lock on ``generations/lock.db``, which a
killed process cannot leave behind.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.broker.acl import rule_lines
from iotonboard.broker.package import FILES
from iotonboard.broker.region import stream_operator_text
from iotonboard.errors import ConflictError, IotOnboardError, NotFoundError, PolicyError
from iotonboard.files import (
    PUBLIC,
    make_dir,
    remove_empty_dir,
    remove_file,
    sweep_staging,
    write_atomic,
)
from iotonboard.permissions import check_plain, placement_like
from iotonboard.reading import holds, read_file
from iotonboard.store.lock import exclusive

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LIMIT = 1 << 30
_LOCK_S = 30.0
_RECORD = "applied.json"


@dataclass(frozen=True, slots=True)
class Applied:
    """The newest package that was applied. ``files`` are the SHA-256 of what was put in place then.

    ``key`` is the CA whose counter it is, empty for a package of form 1; ``replaced`` are CAs whose packages count no
    more since. ``highest`` are the numbers that were seen, by name: they begin anew with each CA.
    """

    counter: int
    digest: str
    files: Mapping[str, str]
    key: str = ""
    replaced: tuple[str, ...] = ()
    highest: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Destination:
    """One folder; ``hold`` it before anything else."""

    path: str

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Keep other processes out.

        Raises:
            NotFoundError: there is no such folder.
            BusyError: another process applies a package right now, or the disk refuses.
        """
        if not os.path.isdir(self.path):
            raise NotFoundError(
                f"there is no folder {self.path!r}",
                hint="make it, so that the broker's user may enter it: mkdir -m 755",
            )
        make_dir(self._generations, 0o755)
        with exclusive(os.path.join(self._generations, "lock.db"), timeout_s=_LOCK_S):
            sweep_staging(self.path)
            yield

    @property
    def _generations(self) -> str:
        return os.path.join(self.path, "generations")

    def file(self, name: str) -> str:
        """A file that the broker reads."""
        return os.path.join(self.path, name)

    def generation(self, counter: int) -> str:
        """Folder of one generation."""
        return os.path.join(self._generations, f"{counter:d}")

    # -- what was applied -----------------------------------------------------------------------------------------

    def applied(self) -> Applied | None:
        """The newest package that was ever applied, by the record in the folder or the one beside it.

        Raises:
            PolicyError: a record cannot be read; it is not taken for "none".
        """
        found = [_read_record(path) for path in self._records if os.path.lexists(path)]
        # Counters of two CAs cannot be compared: the newer record knows more of those that were replaced.
        return max(found, key=lambda one: (len(one.replaced), one.counter), default=None)

    def record(self, applied: Applied) -> None:
        """Remember a package, durably, in both places."""
        values = {
            "counter": applied.counter,
            "digest": applied.digest,
            "files": dict(applied.files),
            "key": applied.key,
            "replaced": list(applied.replaced),
            "highest": dict(applied.highest),
        }
        for path in self._records:
            write_atomic(path, json.dumps(values, indent=1).encode("ascii") + b"\n", PUBLIC)

    @property
    def _records(self) -> tuple[str, str]:
        beside = os.path.realpath(self.path) + "." + _RECORD
        return os.path.join(self._generations, _RECORD), beside

    # -- files ----------------------------------------------------------------------------------------------------

    def current(self) -> dict[str, bytes]:
        """The files that are there.

        Raises:
            ConflictError: one of them is a link or no plain file; a rename would leave what it leads to as it is.
        """
        paths = {name: self.file(name) for name in FILES if os.path.lexists(self.file(name))}
        for path in paths.values():
            check_plain(path)
        return {name: read_file(path, limit=_LIMIT) for name, path in paths.items()}

    def keep(self, counter: int, files: Mapping[str, bytes]) -> str:
        """Keep a generation with the owners and modes that its files have or will have; returns its folder."""
        folder = self.generation(counter)
        make_dir(folder, 0o755)
        for name, content in files.items():
            placement = placement_like(self.file(name), PUBLIC)
            write_atomic(os.path.join(folder, name), content, placement)
        return folder

    def counters(self) -> list[int]:
        """The generations that are kept, oldest first; 0 are files that no package brought."""
        with os.scandir(self._generations) as entries:
            return sorted(int(one.name) for one in entries if one.name.isdecimal() and one.is_dir())

    def generation_of(self, files: Mapping[str, bytes]) -> int:
        """The newest kept package that brought exactly these files; 0 when none did."""
        return next((one for one in reversed(self.counters()) if self._brought(one, files)), 0)

    def _brought(self, counter: int, files: Mapping[str, bytes]) -> bool:
        paths = [(os.path.join(self.generation(counter), name), content) for name, content in files.items()]
        return all(os.path.isfile(path) and holds(path, [content]) for path, content in paths)

    def replace(self, files: Mapping[str, bytes], *, backwards: bool = False) -> None:
        """Put files in place, each by one rename, in the order in which a broker may meet them."""
        for name in reversed(FILES) if backwards else FILES:
            if name in files:
                path = self.file(name)
                write_atomic(path, files[name], placement_like(path, PUBLIC))

    def forget(self, counter: int) -> None:
        """Delete a generation."""
        for name in FILES:
            remove_file(os.path.join(self.generation(counter), name))
        sweep_staging(self.generation(counter))
        remove_empty_dir(self.generation(counter))

    def thin(self, keep: int) -> None:
        """Delete all but the newest ``keep`` generations."""
        counters = self.counters()
        for counter in counters[: max(len(counters) - keep, 0)]:
            self.forget(counter)


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of each file."""
    return {name: sha256(content).hexdigest() for name, content in files.items()}


def check_own_rules(there: bytes, coming: bytes) -> None:
    """Make sure that a new ACL does not delete rules that somebody wrote on the broker's machine.

    Raises:
        ConflictError: it would; names the first such line.
    """
    rules, kept = _own_rules(there), set(_own_rules(coming))
    lost = next((rule for rule in rules if rule not in kept), None)
    if lost is not None:
        raise ConflictError(
            f"the ACL here holds a rule of its own that the package lacks: {lost!r}",
            hint="write it into the ACL on the workstation and pack again, or drop it with --replace-rules",
        )


def _own_rules(acl: bytes) -> list[str]:
    """The rules outside of the program's region, each with the user it belongs to."""
    try:
        operator = stream_operator_text([acl])
        own = operator.before + b"\n" + operator.after
    except PolicyError:
        own = acl
    rules, user = [], ""
    for _, keyword, rest in rule_lines(own):
        if keyword == "user":
            user = f"user {rest}: "
        else:
            rules.append(f"{user if keyword == 'topic' else ''}{keyword} {rest}")
    return rules


def _read_record(path: str) -> Applied:
    try:
        values = json.loads(read_file(path, limit=1 << 16))
        highest = {str(name): int(number) for name, number in values.get("highest", {}).items()}
        replaced, key = tuple(map(str, values.get("replaced", ()))), str(values.get("key", ""))
        return Applied(int(values["counter"]), str(values["digest"]), dict(values["files"]), key, replaced, highest)
    except (ValueError, KeyError, TypeError, AttributeError, IotOnboardError) as error:
        raise PolicyError(
            f"{path!r}, which says what was applied last, cannot be read",
            hint="nothing was touched; --accept-older goes on without it, when you know that the package is the newest",
        ) from error
