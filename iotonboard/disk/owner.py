"""Whose state it is: as root in somebody else's state the program works as the state's owner.

So that nothing which root leaves behind locks the owner out, and nothing which the owner put there leads root anywhere.
Root's own are only the places of root's that the caller named, the owner and mode of what a broker reads, and the way
to the broker. It is the effective user that changes, as seteuid(2) has it, and for the whole process.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import stat
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TRUSTED_STATES = "/etc/iotonboard/trusted-states"
TRUST_HINT = f"write the path of a state that root trusts into {TRUSTED_STATES}"
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
# What a command changes in place, or puts files into; everything else is replaced by new files.
_CHANGED_IN_PLACE = (
    "", "devices.db", "devices.db-wal", "devices.db-shm", "devices.db-journal", "certs", "certs/devices",
    "certs/brokers", "generations", "outbox", "results",
)  # fmt: skip

_CAPABILITY_VERSION_3, _DAC_READ_SEARCH = 0x20080522, 1 << 2  # linux/capability.h

_given: set[str] = set()  # what the caller named, as absolute paths
_library: list[Any] = []  # the C library, where root cannot do without the right to read


@dataclass(frozen=True, slots=True)
class Owner:
    """A user and a group of the system, by number."""

    uid: int
    gid: int

    @property
    def name(self) -> str:
        """The user's name, or its number where the system knows no name."""
        try:
            return str(import_module("pwd").getpwuid(self.uid).pw_name)
        except (ImportError, KeyError):
            return str(self.uid)


def other_owner(root: str) -> Owner | None:
    """Who owns the state directory ``root``, when root runs the program and is not its owner; else ``None``."""
    if not hasattr(os, "getuid") or os.getuid() != 0:
        return None
    try:
        found = os.stat(root)
    except OSError:
        return None
    return Owner(found.st_uid, found.st_gid) if found.st_uid else None


def left_by_root(root: str) -> str:
    """What of a state belongs to root, so that its owner cannot work with it; empty when nothing does."""
    for name in _CHANGED_IN_PLACE:
        path = os.path.join(root, name) if name else root
        with contextlib.suppress(OSError):
            if os.lstat(path).st_uid == 0:
                return path
    return ""


def work_as(owner: Owner, root: str, given: Iterable[str]) -> None:
    """From now on be ``owner`` of the state ``root``, with that user's groups; ``given`` is what the caller named.

    Raises:
        OSError: the system does not let root become another user here, or that user could not work here.
    """
    identity, kept = child_identity(owner), os.getgroups()
    os.setgroups(identity["extra_groups"])
    os.setegid(identity["group"])
    os.seteuid(owner.uid)
    if not _can_load():  # a program below /root: what it has not loaded yet it could not load any more
        os.seteuid(0)
        _library.append(import_module("ctypes").CDLL(None))
        _be(owner.uid)
    if not (_can_load() and os.access(root, os.R_OK | os.W_OK | os.X_OK, effective_ids=True)):
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(kept)
        raise PermissionError(errno.EACCES, "the state or the program lies where only root can read")
    _given.update(map(os.path.abspath, given))


def _can_load() -> bool:
    return all(os.access(path, os.R_OK, effective_ids=True) for path in (os.__file__, __file__))


def _words(*values: int) -> Any:
    return (len(values) * import_module("ctypes").c_uint32)(*values)


def _be(uid: int) -> None:
    """Change the effective user; as the owner, root goes on reading what it must to run at all (capabilities(7))."""
    os.seteuid(uid)
    for library in _library if uid else ():
        header, sets = _words(_CAPABILITY_VERSION_3, 0), _words(*[0] * 6)
        if library.capget(header, sets) == 0:
            sets[0] |= _DAC_READ_SEARCH
            library.capset(header, sets)


def child_identity(owner: Owner | None) -> dict[str, Any]:
    """Arguments of ``subprocess`` with which root starts a child that is ``owner`` for good, in that user's groups.

    ``None``: one that is root's as any other, also where this process took the owner's groups.
    """
    if owner is None:
        is_changed = hasattr(os, "getegid") and os.getegid() != os.getgid()
        return {"group": os.getgid(), "extra_groups": [os.getgid()]} if is_changed else {}
    try:
        entry = import_module("pwd").getpwuid(owner.uid)
        groups, gid = os.getgrouplist(entry.pw_name, entry.pw_gid), entry.pw_gid
    except KeyError:  # a number without a name
        groups, gid = [owner.gid], owner.gid
    return {"user": owner.uid, "group": gid, "extra_groups": groups}


def is_working_as_owner() -> bool:
    """Say whether root works as somebody else."""
    return hasattr(os, "geteuid") and os.getuid() == 0 and os.geteuid() != 0


@contextlib.contextmanager
def as_caller() -> Iterator[None]:
    """For the block, be root again when root works as somebody else."""
    if not is_working_as_owner():
        yield
        return
    uid = os.geteuid()
    os.seteuid(0)
    try:
        yield
    finally:
        _be(uid)


@contextlib.contextmanager
def in_callers_place(path: str) -> Iterator[None]:
    """For the block, be root again when ``path`` was named by the caller and lies in a place of root's alone.

    Not where the owner may write, and not where anybody but root has a folder on the way, who could lead it elsewhere.
    """
    with as_caller() if is_working_as_owner() and _is_callers(os.path.abspath(path)) else contextlib.nullcontext():
        yield


def _is_callers(path: str) -> bool:
    folder = os.path.dirname(path)
    if not any(path == one or path.startswith((one + os.sep, one + ".")) for one in _given):
        return False
    if os.path.realpath(folder) != folder:
        return False
    return not os.access(folder, os.W_OK, effective_ids=True) and _is_roots(folder)


def _is_roots(folder: str) -> bool:
    """Say whether every folder down to this one is root's, and nobody else can rename what lies in it."""
    while True:
        with as_caller():
            found = os.stat(folder)
        others = found.st_mode & _WRITABLE_BY_OTHERS and not found.st_mode & stat.S_ISVTX
        if found.st_uid != 0 or others:
            return False
        if folder == os.path.dirname(folder):
            return True
        folder = os.path.dirname(folder)


def is_trusted(root: str, named: Iterable[str]) -> bool:
    """Say whether root trusts a state by its name: in ``named``, or on a line of the list that only root can write."""
    real = os.path.realpath(root)
    return any(os.path.isabs(one) and os.path.realpath(one) == real for one in (*named, *_listed(TRUSTED_STATES)))


def _listed(path: str) -> list[str]:
    try:
        for one in (path, os.path.dirname(path)):
            found = os.stat(one)
            if found.st_uid != 0 or found.st_mode & _WRITABLE_BY_OTHERS:
                return []
        with open(path, encoding="utf-8", errors="replace") as file:
            return [line.strip() for line in file]
    except OSError:
        return []


def chown_hint(path: str) -> str:
    """What to type when ``path`` cannot be changed because somebody left it in a folder of this user's; or empty."""
    if not hasattr(os, "geteuid"):
        return ""
    me, found, path = os.geteuid(), "", os.path.abspath(path)
    while path != os.path.dirname(path):
        with contextlib.suppress(OSError):
            if os.lstat(path).st_uid == me:
                return f"type: sudo chown -R {me} {shlex.quote(found)}" if found else ""
            found = path
        path = os.path.dirname(path)
    return ""
