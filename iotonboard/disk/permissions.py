"""Who may read a file, by mode and owner of it and of the folders on the way; and which name a file may be put under.

A broker that cannot read its ACL or CRL at a reload lets everyone in.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import re
import stat
import struct
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.disk.walking import real_path
from iotonboard.errors import ConflictError, NotFoundError, NotPrivateWarning

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

TAKEN_HINT = "choose another name"
READER_HINT = (
    "set broker.group and broker.mode, and publish outside of the private state directory:"
    " broker_acl_file and broker_crl_file"
)
_NOBODY = -1  # owns no file
# What is answered where a mount decides owners and modes: FAT, exFAT, NTFS, shares of other systems.
_MOUNT_DECIDES = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
_READ_OR_WRITE = 0o066
_KEPT_MODE = 0o664  # no setuid, setgid or sticky bit, nothing to run, nothing that everybody may write
# An access control list in the kernel's octets (linux/posix_acl_xattr.h): a version, then tag, rights and number.
POSIX_ACL = "system.posix_acl_access"
_ACL_HEADER = 4
_ACL_OWNER, _ACL_USER, _ACL_OWNING_GROUP, _ACL_GROUP, _ACL_MASK, _ACL_OTHERS = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20


def user_number(name: str) -> int:
    """Number of an operating system user.

    Raises:
        NotFoundError: there is no such user here.
    """
    return _number_of(name, "pwd", "getpwnam", "pw_uid")


def has_user(name: str) -> bool:
    """Say whether there is such a user here."""
    try:
        return user_number(name) >= 0
    except NotFoundError:
        return False


def group_number(name: str) -> int:
    """Number of an operating system group.

    Raises:
        NotFoundError: there is no such group here.
    """
    return _number_of(name, "grp", "getgrnam", "gr_gid")


def _number_of(name: str, module: str, function: str, field: str) -> int:
    if re.fullmatch("[0-9]{1,9}", name):
        return int(name)
    kind = "user" if module == "pwd" else "group"
    try:
        # pwd and grp do not exist on Windows, where files have no such owner.
        entry = getattr(importlib.import_module(module), function)(name)
    except ImportError:
        return -1
    except KeyError:
        raise NotFoundError(
            f"there is no {kind} {name!r} on this machine",
            hint="check --user, or [broker] in iotonboard.toml",
        ) from None
    return int(getattr(entry, field))


@dataclass(frozen=True, slots=True)
class Placement:
    """Mode and owner that a published file gets before its rename; ``-1`` leaves an owner as it is.

    ``reader`` (``unreadable_for``) is who must then be able to read it; empty is nobody in particular. ``posix_acl`` is
    an access control list beside the mode, as setfacl(1) makes one, in the kernel's octets; empty without one.
    """

    mode: int
    uid: int = -1
    gid: int = -1
    reader: str = ""
    posix_acl: bytes = b""


def placement_like(path: str, default: Placement) -> Placement:
    """Mode and owner of the file at ``path`` when there is one, else ``default``."""
    try:
        found = os.lstat(path)
    except OSError:
        return default
    if not stat.S_ISREG(found.st_mode):
        return default
    return _placement(found, path)


def placement_of(descriptor: int) -> Placement:
    """Mode and owner of an open file, for the one that takes its place."""
    return _placement(os.fstat(descriptor), descriptor)


def _placement(found: os.stat_result, file: str | int) -> Placement:
    """What a new file takes over: who reads it, and who of owner and group writes it. Nobody runs it."""
    if not hasattr(os, "geteuid"):
        return Placement(found.st_mode & _KEPT_MODE)
    return Placement(found.st_mode & _KEPT_MODE, found.st_uid, found.st_gid, posix_acl=_tamed(_posix_acl(file)))


def _tamed(posix_acl: bytes) -> bytes:
    """An access control list by which nobody may run a file, and not everybody may write it."""
    entries = struct.iter_unpack("<HHI", posix_acl[_ACL_HEADER:])
    kept = [(tag, bits & (4 if tag == _ACL_OTHERS else 6), name) for tag, bits, name in entries]
    return posix_acl[:_ACL_HEADER] + b"".join(struct.pack("<HHI", *entry) for entry in kept)


def _posix_acl(path: str | int) -> bytes:
    """The access control list of a file or folder; empty without one, and where there is no such thing."""
    try:
        return os.getxattr(path, POSIX_ACL)
    except (OSError, AttributeError):
        return b""


def check_plain(path: str) -> None:
    """Make sure that what a rename would replace is what the broker reads.

    Raises:
        ConflictError: it is a symbolic link, whose target would stay as it is, or no file.
    """
    try:
        target = os.readlink(path)
    except OSError:  # no link, or nothing at all
        check_replaceable(path)
        return
    raise ConflictError(
        f"{path!r} is a symbolic link to {target!r}, which would not be replaced",
        hint="name the file itself (--dest, --out, broker_acl_file, broker_crl_file)",
    )


def check_replaceable(path: str) -> None:
    """Refuse a name that is neither free nor a file's or link's: a rename would put a file in place of /dev/null.

    Raises:
        ConflictError: a folder, a device or a pipe stands there.
    """
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return  # nothing is there; what cannot be looked at is told when it is written
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        raise ConflictError(f"{path!r} is not a file", hint=TAKEN_HINT)


def obstacle_to_reading(path: str, uid: int, groups: Collection[int]) -> str:
    """Say why a user cannot read a file: its mode, or that of a folder on the way; empty when it can."""
    if uid == 0:
        return ""
    path = real_path(path)
    if obstacle := _obstacle_to_entering(os.path.dirname(path), uid, groups):
        return obstacle
    return "" if _may(path, uid, groups, 0o4) else "its mode or access list does not allow it"


def _obstacle_to_entering(folder: str, uid: int, groups: Collection[int]) -> str:
    while True:
        if not _may(folder, uid, groups, 0o1):
            return f"it may not enter {folder!r}"
        if folder == os.path.dirname(folder):
            return ""
        folder = os.path.dirname(folder)


def _may(path: str, uid: int, groups: Collection[int], wanted: int) -> bool:
    try:
        found = os.stat(path)
    except OSError:
        return False
    if posix_acl := _posix_acl(path):
        return _acl_allows(posix_acl, found, uid, groups, wanted)
    shift = 6 if found.st_uid == uid else 3 if found.st_gid in groups else 0
    return bool(found.st_mode >> shift & wanted)


def _acl_allows(posix_acl: bytes, found: os.stat_result, uid: int, groups: Collection[int], wanted: int) -> bool:
    """Decide as acl(5) says: the owner, a named user, then all groups of the user together, then the others."""
    entries = list(struct.iter_unpack("<HHI", posix_acl[_ACL_HEADER:]))
    mask = next((bits for tag, bits, _ in entries if tag == _ACL_MASK), 7)
    if uid == found.st_uid:
        return any(tag == _ACL_OWNER and bits & wanted for tag, bits, _ in entries)
    own = [bits & mask for tag, bits, name in entries if tag == _ACL_USER and name == uid]
    if not own:
        own = [
            bits & mask
            for tag, bits, name in entries
            if (tag == _ACL_GROUP and name in groups) or (tag == _ACL_OWNING_GROUP and found.st_gid in groups)
        ]
    if own:
        return any(bits & wanted for bits in own)
    return any(tag == _ACL_OTHERS and bits & wanted for tag, bits, _ in entries)


def unreadable_for(path: str, reader: str) -> str:
    """Say why ``reader`` cannot read a file; empty when it can.

    ``reader`` is a user (name or number) with the groups that the system knows of, or ``:GROUP`` for a member of
    that group, as chown(1) writes them.

    Raises:
        NotFoundError: there is no such user or group here.
    """
    if not hasattr(os, "getgrouplist") or not os.path.exists(path):
        return ""  # Windows decides by other means; what is missing is told elsewhere
    user, _, group = reader.partition(":")
    reason = obstacle_to_reading(path, *_identity(user, group))
    what = f"user {user!r}" if user else f"group {group!r}"
    return f"the broker's {what} cannot read it: {reason}" if reason else ""


def group_of(user: str) -> str:
    """Name of a user's own group; empty where the system has none by name."""
    try:
        number = _number_of(user, "pwd", "getpwnam", "pw_gid")
        return str(importlib.import_module("grp").getgrgid(number).gr_name) if not user.isdecimal() else ""
    except (ImportError, KeyError, NotFoundError):
        return ""


def unenterable_for(folder: str, user: str) -> str:
    """Say why a user cannot get at files in a folder; empty when it can.

    Raises:
        NotFoundError: there is no such user here.
    """
    if not hasattr(os, "getgrouplist") or (uid := user_number(user)) == 0:
        return ""
    return _obstacle_to_entering(real_path(folder), uid, _identity(user, "")[1])


def _identity(user: str, group: str) -> tuple[int, list[int]]:
    """The number of a user, or of nobody, and its groups: those that the system knows of, and the one that is named."""
    groups = [group_number(group)] if group else []
    if user and not user.isdecimal():
        groups += os.getgrouplist(user, _number_of(user, "pwd", "getpwnam", "pw_gid"))
    return user_number(user) if user else _NOBODY, groups


def file_system(path: str, mounts: str = "/proc/self/mountinfo") -> str:
    """Name the kind of file system that ``path`` lies on, or would, as Linux calls it; empty where it is not told."""
    place, kind, longest = real_path(path) + os.sep, "", 0
    with contextlib.suppress(OSError), open(mounts, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            before, _, behind = line.partition(" - ")  # proc(5)
            point = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), before.split(" ")[4])
            if place.startswith(point.rstrip(os.sep) + os.sep) and len(point) >= longest:  # the last one lies on top
                kind, longest = behind.split(" ", 1)[0], len(point)
    return kind


def mount_decides(path: str) -> bool:
    """Say whether owners and modes are the mount's and not the files', as on FAT."""
    return file_system(path) in {"vfat", "msdos", "exfat", "fuseblk", "ntfs", "ntfs3"}


def give(descriptor: int, placement: Placement) -> None:
    """Give an open file its owner, or what matters of it: that those can read it who are meant to.

    Only root can give a file away, and on FAT nobody can: there the owner is the mount's.

    Raises:
        OSError: the file would be closed to the group that is to read it, or the system refuses for another reason.
    """
    if not hasattr(os, "fchown") or (placement.uid, placement.gid) == (-1, -1):
        return
    try:
        os.fchown(descriptor, placement.uid, placement.gid)
    except OSError as error:
        if error.errno not in _MOUNT_DECIDES:
            raise
        with contextlib.suppress(OSError):
            os.fchown(descriptor, -1, placement.gid)
        found = os.fstat(descriptor)
        is_group_s = placement.gid in (-1, found.st_gid) and placement.mode & 0o040
        if not (is_group_s or placement.mode & 0o004 or found.st_mode & 0o004):
            raise


def keep_acl(descriptor: int, placement: Placement) -> None:
    """Give an open file the access list that it shall have: behind the mode, whose group bits are its mask."""
    if placement.posix_acl:
        os.setxattr(descriptor, POSIX_ACL, placement.posix_acl)


@contextlib.contextmanager
def modes_of_mount(path: str, mode: int, *, is_new: bool = True) -> Iterator[None]:
    """For the block, which gives ``path`` its mode, take the mount's where that decides, with a ``NotPrivateWarning``.

    Who made what ``is_new`` may change its mode, so a refusal is the mount's; else it is tried (``keeps_modes``).
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _MOUNT_DECIDES or not (is_new or not keeps_modes(os.path.dirname(path) or ".")):
            raise
    warn_if_open(path, os.stat(path).st_mode, mode)


def keeps_modes(folder: str) -> bool:
    """Say whether what is made in a folder can be private; ``False`` where the mount decides modes.

    It is tried with a file; where none can be made, modes are taken for kept.
    """
    probe = os.path.join(folder, f".iotonboard-mode-{os.urandom(6).hex()}.tmp")
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError:
        return True
    try:
        return os.name != "posix" or not os.fstat(descriptor).st_mode & _READ_OR_WRITE
    finally:
        os.close(descriptor)
        os.unlink(probe)


def warn_if_open(path: str, found: int, wanted: int) -> None:
    """Warn where the mode that was ``found`` gives others what ``wanted`` does not."""
    if os.name == "posix" and found & ~wanted & _READ_OR_WRITE:
        place = os.path.dirname(os.path.abspath(path))
        while not os.path.ismount(place):  # so that it is the same, and said once, for all files of a disk
            place = os.path.dirname(place)
        text = f"the disk at {place!r} keeps no rights of its own: others may get at what is written there"
        warnings.warn(text, NotPrivateWarning, stacklevel=2)
