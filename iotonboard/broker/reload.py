"""Make a Mosquitto broker read its files again, and see what came of it. No network: Linux tells in /proc.

SIGHUP ends a broker that is still starting: it is sent only to a process that catches it. Afterwards the
process must live and have gone back to waiting: Mosquitto has one thread, so it has then read its files. That
it was these files, and not others that its configuration names, is seen from their access times.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import BusyError, NotFoundError, PolicyError, UsageError
from iotonboard.owner import TRUST_HINT, child_identity
from iotonboard.permissions import READER_HINT, obstacle_to_reading
from iotonboard.reading import read_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.owner import Owner

_POLL_S = 0.05
_READING_S = 2.0  # after the broker went back to waiting, or a command ended
_PROGRAM = "mosquitto"
_HINT = "set it: iotonboard config set broker.reload pid:/run/mosquitto.pid (or systemd:UNIT, command:...)"


@dataclass(frozen=True, slots=True)
class Method:
    """How to reload: ``kind`` is pid, systemd or command."""

    kind: str
    target: str


def parse_method(text: str) -> Method:
    """Read ``pid:FILE``, ``systemd:UNIT`` or ``command:WORDS``.

    Raises:
        UsageError: nothing is configured, or not in that form.
    """
    kind, _, target = text.partition(":")
    if not text:
        raise UsageError("no way to reload the broker is configured", hint=_HINT)
    if kind not in {"pid", "systemd", "command"} or not target.strip():
        raise UsageError(f"{text!r} is not a way to reload a broker", hint=_HINT)
    if kind == "systemd" and not re.fullmatch(r"[A-Za-z0-9@_.:-]+", target):
        raise UsageError(f"{target!r} is not the name of a systemd unit", hint=_HINT)
    try:
        shlex.split(target if kind == "command" else "")
    except ValueError as error:
        raise UsageError(f"{target!r} is not a command: {str(error).lower()}", hint=_HINT) from None
    return Method(kind, target)


def find_broker(method: Method, *, timeout_s: int) -> int | None:
    """Find the broker's process and wait until a SIGHUP cannot end it; ``None`` behind a configured command.

    Raises:
        NotFoundError: there is no such broker process.
        BusyError: it is still starting.
    """
    pid = broker_process(method)
    if pid is not None:
        _wait_until_ready(pid, time.monotonic() + timeout_s)
    return pid


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
    pid = find_broker(method, timeout_s=timeout_s)
    if pid is None:
        return _reload_by_command(method.target, paths, timeout_s, deadline if is_here else None, as_user)
    return _reload_process(method, pid, paths, timeout_s, deadline)


def _reload_by_command(
    command: str, paths: Sequence[str], timeout_s: int, deadline: float | None, as_user: Owner | None
) -> str:
    """Run the configured command; with a ``deadline`` somebody must have read the files by then."""
    watched = [path for path in paths if _mark_unread(path)]
    _run(shlex.split(command), timeout_s, as_user)
    unread = _unread(watched, deadline or 0)
    if watched and not unread:
        return "the configured command has run and the files were read"
    if unread and deadline is not None:
        raise BusyError(
            f"the command {command!r} has run, but nobody has read {unread[0]!r} since",
            hint="check that it reaches the broker, and that mosquitto.conf names that file",
        )
    return "the configured command has run; whether the broker has reloaded is not known"


def _reload_process(method: Method, pid: int, paths: Sequence[str], timeout_s: int, deadline: float) -> str:
    """Signal a process that can read the files, and see it read them and live."""
    for path in paths:
        _check_readable(pid, path)
    watched = [path for path in paths if _mark_unread(path)]
    _signal(method, pid, timeout_s)
    _wait_until_done(pid, deadline)
    if unread := _unread(watched):
        raise BusyError(
            f"the broker (process {pid}) lives but did not read {unread[0]!r}",
            hint="its mosquitto.conf names another file, or sets per_listener_settings; correct that and restart it",
        )
    seen = "has read its files" if watched else "has reloaded and lives; its log says whether it took the files"
    return f"the broker (process {pid}) {seen}"


def _mark_unread(path: str) -> bool:
    """Set a file's access time back, so that its next reader is seen; ``False`` where nobody records that."""
    try:
        if os.statvfs(path).f_flag & os.ST_NOATIME:
            return False
        os.utime(path, ns=(0, os.stat(path).st_mtime_ns))
        return os.stat(path).st_atime_ns == 0
    except (OSError, AttributeError):  # not the owner; Windows
        return False


def _unread(watched: list[str], deadline: float = 0) -> list[str]:
    """Those files that nobody has read in time: two seconds, or until ``deadline`` where that is later."""
    deadline = max(deadline, time.monotonic() + _READING_S)
    while unread := [path for path in watched if os.path.exists(path) and os.stat(path).st_atime_ns == 0]:
        if time.monotonic() > deadline:
            return unread
        time.sleep(_POLL_S)
    return []


def broker_process(method: Method) -> int | None:
    """The number of the broker's process; ``None`` behind a configured command.

    Raises:
        NotFoundError: there is no such broker process.
        BusyError: it cannot be asked for.
    """
    if method.kind == "command":
        return None
    if method.kind == "pid":
        text = read_file(method.target, limit=64).decode("ascii", "replace").strip()
    else:
        text = _run(["systemctl", "show", "-p", "MainPID", "--value", method.target], 30).strip()
    if not text.isdecimal() or int(text) < 2 or not _lives(int(text)):
        raise NotFoundError(f"no broker runs behind {method.kind}:{method.target}", hint="start the broker first")
    name = _status(int(text)).get("Name", _PROGRAM)
    if method.kind == "pid" and _PROGRAM not in name:  # a unit is systemd's to know
        raise NotFoundError(
            f"process {text}, which {method.target!r} names, is {name!r} and not {_PROGRAM}; nothing was sent to it",
            hint="the file is of an earlier start, or of another program: start the broker, with this file as pid_file",
        )
    return int(text)


def _lives(pid: int) -> bool:
    fields = _status(pid)
    if fields:
        return not fields.get("State", "").startswith(("Z", "X"))
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return not os.path.isdir("/proc/self")


def _status(pid: int) -> dict[str, str]:
    """What Linux tells about a process; empty elsewhere and for one that is gone."""
    try:
        with open(f"/proc/{pid:d}/status", encoding="utf-8", errors="replace") as file:
            return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
    except OSError:
        return {}


def _wait_until_ready(pid: int, deadline: float) -> None:
    """Wait until the process catches SIGHUP."""
    while not _has_hangup(_status(pid), "SigCgt"):
        if not _status(pid):
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


def _wait_until_done(pid: int, deadline: float) -> None:
    """Wait until the signal was taken and the process waits for packets again."""
    while True:
        if not _lives(pid):
            raise BusyError(
                f"the broker (process {pid}) ended at the reload", hint="start it again; its log says why it ended"
            )
        fields = _status(pid)
        if not _has_hangup(fields, "ShdPnd") and fields.get("State", "").startswith("S"):
            return
        if time.monotonic() > deadline:
            raise BusyError("the broker has not finished its reload", hint="look into the broker's log")
        time.sleep(_POLL_S)


def _has_hangup(fields: dict[str, str], mask: str) -> bool:
    return bool(int(fields.get(mask, "0"), 16) >> (signal.SIGHUP - 1) & 1)


def _check_readable(pid: int, path: str) -> None:
    fields = _status(pid)
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


def _signal(method: Method, pid: int, timeout_s: int) -> None:
    if method.kind == "systemd":
        _run(["systemctl", "reload", method.target], timeout_s)
        return
    try:
        os.kill(pid, signal.SIGHUP)
    except OSError as error:
        raise BusyError(
            f"cannot signal process {pid}: {error.strerror}", hint="run as the broker's user or as root"
        ) from error


def _run(words: list[str], timeout_s: int, as_user: Owner | None = None) -> str:
    identity = child_identity(as_user)
    hint = f"it was run as {as_user.name!r}, whose state this is: {TRUST_HINT}" if as_user else "check broker.reload"
    try:
        done = subprocess.run(  # noqa: S603 - the officer's own configuration, no shell
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False, **identity
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BusyError(f"{words[0]!r} did not run: {error}", hint=hint) from error
    if done.returncode:
        raise BusyError(f"{shlex.join(words)!r} failed: {done.stderr.strip()[:200]}", hint=hint)
    return str(done.stdout)
