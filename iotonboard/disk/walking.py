"""The way to a folder, step by step, so that nobody's link leads root anywhere; and how to open a file without harm."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import stat

from iotonboard.errors import ConflictError, NotFoundError

# How every file is opened. O_BINARY exists on Windows only, the others on POSIX only. O_NONBLOCK changes nothing for a
# plain file; a FIFO would else wait for somebody, and a device may do something.
SAFE = 0
for _flag in ("O_BINARY", "O_NOFOLLOW", "O_CLOEXEC", "O_NOCTTY", "O_NONBLOCK"):
    SAFE |= getattr(os, _flag, 0)
FOLLOWING = SAFE & ~getattr(os, "O_NOFOLLOW", 0)  # of what somebody named, who may name a link
FOLDER = SAFE | getattr(os, "O_DIRECTORY", 0)
_PASSING = FOLDER | getattr(os, "O_PATH", os.O_RDONLY)  # to go through a folder needs no right to read it
_LINKS = 40  # as the kernel has it
_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_LED, _SHARED, _ROOTS = range(3)  # others can exchange a folder; can put something into it; neither
_kept: dict[str, int] = {}  # those of root, which only root can change


def walk(path: str) -> tuple[int, str]:
    """Go to a folder step by step, and say by which way without links."""
    waiting, way, links = path.split(os.sep)[::-1], [""], 0
    at = os.open(os.sep, _PASSING)
    try:
        while waiting:
            name = waiting.pop()
            if name in {"", os.curdir}:
                continue
            target = _target(at, name, os.path.join(os.sep.join(way), name))
            if target is not None:
                links += 1
                if links > _LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                waiting += target.split(os.sep)[::-1]
                if not target.startswith(os.sep):
                    continue
                name, way = os.sep, [""]
            following = os.open(name, _PASSING, dir_fd=at)
            os.close(at)
            at = following
            way = way[:-1] or [""] if name == os.pardir else [*way, name] if name != os.sep else way
        return os.open(os.curdir, os.O_RDONLY | FOLDER, dir_fd=at), os.sep.join(way) or os.sep
    finally:
        os.close(at)


def _target(at: int, name: str, path: str) -> str | None:
    """Where a link leads; ``None`` for what is none. ``ConflictError``: one that root does not follow."""
    found = os.stat(name, dir_fd=at, follow_symlinks=False)
    if not stat.S_ISLNK(found.st_mode):
        return None
    if is_root() and found.st_uid != 0:
        raise ConflictError(
            f"{path!r} is a symbolic link of user {found.st_uid}, which root does not follow", hint=removal(path)
        )
    return os.readlink(name, dir_fd=at)


def follow(path: str) -> tuple[int, str]:
    """Go to the folder in which a file lies, and say how it is called there: links are followed as on the way.

    What is called so is no link at that moment; whoever opens it with ``SAFE`` opens none.
    """
    path = os.path.join(os.getcwd(), path)
    for _ in range(_LINKS):
        head, name = os.path.split(path)
        if name in {"", os.curdir, os.pardir}:
            return walk(path)[0], os.curdir
        at, way = walk(head)
        try:
            target = _target(at, name, os.path.join(way, name))
        except FileNotFoundError:
            target = None
        except BaseException:
            os.close(at)
            raise
        if target is None:
            return at, name
        os.close(at)
        path = os.path.join(way, target)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def is_led(folder: str) -> bool:
    """Say whether somebody else than who runs this could lead it elsewhere by what lies in a folder, or on the way.

    Whoever is not root can do no more than what leads there.
    """
    return is_root() and (os.pardir in folder.split(os.sep) or _standing(os.path.abspath(folder)) != _ROOTS)


def _standing(folder: str) -> int:
    if folder in _kept:
        return _kept[folder]
    parent = os.path.dirname(folder)
    above = _standing(parent) if parent != folder else _ROOTS
    if above == _LED:
        return _LED
    try:
        found = os.lstat(folder)
    except FileNotFoundError:
        return _ROOTS if above == _ROOTS else _LED
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0:
        return _LED
    standing = _ROOTS
    if found.st_mode & _WRITABLE_BY_OTHERS:
        standing = _SHARED if found.st_mode & stat.S_ISVTX else _LED
    if standing != _LED:
        _kept[folder] = standing
    return standing


def is_root() -> bool:
    """Say whether the program can do more than whoever plants something for it."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def removal(path: str, where: str = "") -> str:
    """What to do with what does not belong at ``path``."""
    return f"look at what is there, then delete what does not belong {where or 'there: rm '}{shlex.quote(path)}"


def kind_of(mode: int) -> str:
    """Say what a mode is of, with its article: ``a FIFO``."""
    return _KINDS.get(stat.S_IFMT(mode), "something else")


def refuse_no_folder_of(path: str) -> None:
    """Refuse a place for a file whose folder is not there, before anything is made for it.

    Raises:
        NotFoundError: it is not.
    """
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise NotFoundError(no_folder(folder), hint="make it, or name another place with --out")


def no_folder(path: str) -> str:
    """Say why ``path`` is no folder: nothing is there, or what it is."""
    try:
        return f"{path!r} is {kind_of(os.stat(path).st_mode)}, not a folder"
    except OSError as error:
        reason = f": {error.strerror}" if error.errno in (errno.ELOOP, errno.ENAMETOOLONG) else ""
    except ValueError:  # a NUL in the name
        reason = ""
    return f"there is no folder {path!r}{reason}"


def real_path(path: str) -> str:
    """Where a path leads; itself while somebody puts something else in the place of a link."""
    with contextlib.suppress(OSError):
        return os.path.realpath(path)
    return path
