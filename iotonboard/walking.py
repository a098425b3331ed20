"""The way to a folder, step by step, so that nobody's link leads root anywhere."""

from __future__ import annotations

import errno
import os
import shlex
import stat

from iotonboard.errors import ConflictError

# O_BINARY exists on Windows only, the others on POSIX only. O_NONBLOCK changes nothing for a plain file.
SAFE = 0
for _flag in ("O_BINARY", "O_NOFOLLOW", "O_CLOEXEC", "O_NOCTTY", "O_NONBLOCK"):
    SAFE |= getattr(os, _flag, 0)
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


def is_root() -> bool:
    """Say whether the program can do more than whoever plants something for it."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def removal(path: str, where: str = "") -> str:
    """What to do with what does not belong at ``path``."""
    return f"look at what is there, then delete what does not belong {where or 'there: rm '}{shlex.quote(path)}"


def kind_of(mode: int) -> str:
    """Say what a mode is of, with its article: ``a FIFO``."""
    return _KINDS.get(stat.S_IFMT(mode), "something else")


def no_folder(path: str) -> str:
    """Say why ``path`` is no folder: nothing is there, or what it is."""
    try:
        return f"{path!r} is {kind_of(os.stat(path).st_mode)}, not a folder"
    except OSError as error:
        reason = f": {error.strerror}" if error.errno in (errno.ELOOP, errno.ENAMETOOLONG) else ""
    except ValueError:  # a NUL in the name
        reason = ""
    return f"there is no folder {path!r}{reason}"
