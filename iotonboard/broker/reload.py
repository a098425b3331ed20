"""Make a Mosquitto broker read its files again, and see what came of it. No network: Linux tells in /proc.

SIGHUP ends a broker that is still starting: it is sent only to a process that catches it. Afterwards the
process must live and have gone back to waiting: Mosquitto has one thread, so it has then read its files. That
it was these files, and not others that its configuration names, is seen from their access times.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import stat
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import BusyError, IotOnboardError, NotFoundError, PolicyError, UsageError
from iotonboard.folders import open_folder
from iotonboard.owner import TRUST_HINT, child_identity
from iotonboard.permissions import READER_HINT, obstacle_to_reading

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from iotonboard.owner import Owner

_ANYBODY = -1
_POLL_S = 0.05
_READING_S = 2.0  # after the broker went back to waiting, or a command ended
_PROGRAM = "mosquitto"
_PROCESS = re.compile(r"mosquitto[-.0-9]*(\\n)?")  # not mosquitto_pub and its like
_UNIT = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9@_.:\\-]*")  # systemd.unit(5); what begins with a hyphen would be an option
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
    if kind == "systemd" and not _UNIT.fullmatch(target):
        raise UsageError(f"{target!r} is not the name of a systemd unit", hint=_HINT)
    if re.search(r"[\x00-\x1f\x7f]", target):
        raise UsageError(f"{target!r} holds a control character", hint=_HINT)
    try:
        words = shlex.split(target if kind == "command" else "x")
    except ValueError as error:
        raise UsageError(f"{target!r} is not a command: {str(error).lower()}", hint=_HINT) from None
    if not words or not words[0] or words[0].startswith("-"):
        raise UsageError(f"{target!r} does not begin with a program", hint=_HINT)
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
    with _marked(paths) as watched:
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
    with _marked(paths) as watched:
        _signal(method, pid, timeout_s)
        _wait_until_done(pid, deadline)
        unread = _unread(watched)
    if unread:
        raise BusyError(
            f"the broker (process {pid}) lives but did not read {unread[0]!r}",
            hint="its mosquitto.conf names another file, or sets per_listener_settings; correct that and restart it",
        )
    seen = "has read its files" if watched else "has reloaded and lives; its log says whether it took the files"
    return f"the broker (process {pid}) {seen}"


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


def broker_process(method: Method) -> int | None:
    """The number of the broker's process; ``None`` behind a configured command.

    Raises:
        NotFoundError: there is no such broker process.
        BusyError: it cannot be asked for.
    """
    if method.kind == "command":
        return None
    if method.kind == "pid":
        text, owners = _read_pid_file(method.target)
    else:
        text = _run(["systemctl", "show", "-p", "MainPID", "--value", method.target], 30).strip()
        owners = set()
    if not (text.isascii() and text.isdecimal()) or int(text) < 2 or not _lives(int(text)):
        raise NotFoundError(f"no broker runs behind {method.kind}:{method.target}", hint="start the broker first")
    if method.kind == "pid":  # a unit is systemd's to know
        _check_broker(int(text), method.target, owners)
    return int(text)


def _read_pid_file(path: str) -> tuple[str, set[int]]:
    """What a pid file says, and the users who can say so: its owner, and ``_ANYBODY`` where everybody may write it.

    Raises:
        NotFoundError: there is no such file.
        ConflictError: a link, a FIFO or another thing stands there, or it is too large.
    """
    path = os.path.abspath(path)
    with open_folder(os.path.dirname(path)) as folder:
        file = folder.open(os.path.basename(path))
        if file is None:
            raise NotFoundError(f"there is no file {path!r}", hint="start the broker, with this file as pid_file")
        with file:
            found = os.fstat(file.fileno())
            owners = {found.st_uid, *([_ANYBODY] if found.st_mode & stat.S_IWOTH else [])}
            return file.read(64).decode("ascii", "replace").strip(), owners


def _check_broker(pid: int, path: str, owners: Collection[int]) -> None:
    """Make sure that a process is a broker, and that whoever wrote the pid file may speak for it: root, or its user."""
    fields = _status(pid)
    name, users = fields.get("Name", _PROGRAM), {int(uid) for uid in fields.get("Uid", "").split()}
    if not _PROCESS.fullmatch(name):
        raise NotFoundError(
            f"process {pid}, which {path!r} names, is {name!r} and not {_PROGRAM}; nothing was sent to it",
            hint="the file is of an earlier start, or of another program: start the broker, with this file as pid_file",
        )
    if users and (strangers := set(owners) - users - {0}):
        who = "everybody may write it" if _ANYBODY in strangers else f"user {min(strangers)} wrote it"
        raise NotFoundError(
            f"{path!r} does not speak for process {pid}: {who}, and that process is of user {min(users)}; nothing was"
            " sent to it",
            hint=f"delete it and start the broker, with this file as pid_file: rm {shlex.quote(path)}",
        )


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
