"""Make a Mosquitto broker read its files again, and see what came of it. No network: Linux tells in /proc.

SIGHUP ends a broker that is still starting: it is sent only to a process that catches it. Afterwards the
process must live and have gone back to waiting: Mosquitto has one thread, so it has then read its files. That
it was these files, and not others that its configuration names, is seen from their access times.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from typing import TYPE_CHECKING

from iotonboard.broker.process import broker_process, run_words
from iotonboard.disk.folders import open_folder
from iotonboard.disk.permissions import READER_HINT, obstacle_to_reading
from iotonboard.errors import BusyError, IotOnboardError, PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import BinaryIO

    from iotonboard.broker.process import Process
    from iotonboard.broker.reload_method import Method
    from iotonboard.disk.owner import Owner

_POLL_S = 0.05
_READING_S = 2.0  # after the broker went back to waiting, or a command ended


def find_broker(method: Method, *, timeout_s: int) -> Process | None:
    """Find the broker's process and wait until a SIGHUP cannot end it; ``None`` behind a configured command.

    Raises:
        NotFoundError: there is no such broker process.
        BusyError: it is still starting.
    """
    process = broker_process(method)
    if process is not None:
        _wait_until_ready(process, time.monotonic() + timeout_s)
    return process


def reload_broker(
    method: Method, paths: Sequence[str], *, timeout_s: int, is_here: bool = False, as_user: Owner | None = None
) -> str:
    """Reload, check the outcome and say what was seen.

    ``paths`` are the published files; the broker's own user must be able to read them. ``is_here`` says that the
    broker reads these very files, so that a configured command after which nobody did has not reached it. ``as_user``
    is who runs a configured command, where that is not the one who runs the program.

    Raises:
        NotFoundError: there is no such broker process.
        BusyError: it is still starting, ended at the reload, did not finish it in time, or read other files.
        PolicyError: it cannot read a file; nothing was sent.
    """
    deadline = time.monotonic() + timeout_s
    process = find_broker(method, timeout_s=timeout_s)
    if process is None:
        return _reload_by_command(method.target, paths, timeout_s, deadline if is_here else None, as_user)
    return _reload_process(method, process, paths, timeout_s, deadline)


def _reload_by_command(
    command: str, paths: Sequence[str], timeout_s: int, deadline: float | None, as_user: Owner | None
) -> str:
    """Run the configured command; with a ``deadline`` somebody must have read the files by then."""
    with _marked(paths) as watched:
        run_words(shlex.split(command), timeout_s, as_user)
        unread = _unread(watched, deadline or 0)
    if watched and not unread:
        return "the configured command has run and the files were read"
    if unread and deadline is not None:
        raise BusyError(
            f"the command {command!r} has run, but nobody has read {unread[0]!r} since",
            hint="check that it reaches the broker, that mosquitto.conf names that file, and that a container mounts"
            " its folder: a file that is mounted by itself stays the old one",
        )
    return "the configured command has run; whether the broker has reloaded is not known"


def _reload_process(method: Method, process: Process, paths: Sequence[str], timeout_s: int, deadline: float) -> str:
    """Signal a process that can read the files, and see it read them and live."""
    for path in paths:
        _check_readable(process, path)
    with _marked(paths) as watched:
        _signal(method, process, timeout_s)
        _wait_until_done(process, deadline)
        unread = _unread(watched)
    if unread:
        raise BusyError(
            f"the broker (process {process.number}) lives but did not read {unread[0]!r}",
            hint="its mosquitto.conf names another file, or sets per_listener_settings; or it runs in a container where"
            " this file is mounted by itself, and stays the old one: mount its folder. Correct that and restart it",
        )
    seen = "has read its files" if watched else "has reloaded and lives; its log says whether it took the files"
    return f"the broker (process {process.number}) {seen}"


@contextlib.contextmanager
def _marked(paths: Sequence[str]) -> Iterator[dict[str, BinaryIO]]:
    """Set the files' access times back, so that their next reader is seen; those where that is recorded, open.

    Open, because their folder may be the broker's user's, who can put a link in their place.
    """
    with contextlib.ExitStack() as stack:
        watched = {}
        for path in paths:
            with contextlib.suppress(IotOnboardError), open_folder(os.path.dirname(path)) as folder:
                file = folder.open(os.path.basename(path))
                if file is not None and _mark_unread(stack.enter_context(file).fileno()):
                    watched[path] = file
        yield watched


def _mark_unread(descriptor: int) -> bool:
    try:
        if os.fstatvfs(descriptor).f_flag & os.ST_NOATIME:
            return False
        os.utime(descriptor, ns=(0, os.fstat(descriptor).st_mtime_ns))
        return os.fstat(descriptor).st_atime_ns == 0
    except (OSError, AttributeError, TypeError, NotImplementedError):  # not the owner; Windows
        return False


def _unread(watched: Mapping[str, BinaryIO], deadline: float = 0) -> list[str]:
    """Those files that nobody has read in time: two seconds, or until ``deadline`` where that is later."""
    deadline = max(deadline, time.monotonic() + _READING_S)
    while unread := [path for path, file in watched.items() if _is_unread(file.fileno())]:
        if time.monotonic() > deadline:
            return unread
        time.sleep(_POLL_S)
    return []


def _is_unread(descriptor: int) -> bool:
    """Say whether nobody read an open file; one that was replaced meanwhile nobody has to."""
    found = os.fstat(descriptor)
    return found.st_nlink > 0 and found.st_atime_ns == 0


def _wait_until_ready(process: Process, deadline: float) -> None:
    """Wait until the process catches SIGHUP."""
    while not process.has_hangup("SigCgt"):
        if not process.status():
            raise BusyError(
                "this system does not tell whether the broker has started; nothing was sent to it",
                hint="use broker.reload command:..., once you know that it runs",
            )
        if time.monotonic() > deadline:
            raise BusyError(
                "the broker is still starting; a SIGHUP would end it, none was sent",
                hint="once it runs, type 'iotonboard sync-acl --reload', or the same 'apply' again",
            )
        time.sleep(_POLL_S)


def _wait_until_done(process: Process, deadline: float) -> None:
    """Wait until the signal was taken and the process waits for packets again."""
    while True:
        if not process.lives():
            raise BusyError(
                f"the broker (process {process.number}) ended at the reload",
                hint="its log says why (2.1 ends where it cannot read a file); correct that and start it again",
            )
        if not process.has_hangup("ShdPnd") and process.status().get("State", "").startswith("S"):
            return
        if time.monotonic() > deadline:
            raise BusyError("the broker has not finished its reload", hint="look into the broker's log")
        time.sleep(_POLL_S)


def _check_readable(process: Process, path: str) -> None:
    fields = process.status()
    if not fields:
        return
    uid = int(fields["Uid"].split()[1])
    groups = {int(fields["Gid"].split()[1]), *map(int, fields["Groups"].split())}
    obstacle = obstacle_to_reading(path, uid, groups)
    if obstacle:
        raise PolicyError(
            f"the broker's user (number {uid}) cannot read {path!r}: {obstacle}; it was not reloaded",
            hint=READER_HINT,
        )


def _signal(method: Method, process: Process, timeout_s: int) -> None:
    if method.kind == "systemd":
        run_words(["systemctl", "reload", method.target], timeout_s)
    else:
        process.hang_up()
