"""The process of a Mosquitto broker on this machine: found, asked what it does, and told to read its files again.

Linux tells in /proc. The system gives the number of a process that ended to another one, so a process is known by its
number and the moment of its start, and what has another start is never signalled and never taken for the broker.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import signal
import stat
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.disk.folders import open_folder
from iotonboard.disk.owner import TRUST_HINT, child_identity
from iotonboard.errors import BusyError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotonboard.broker.reload_method import Method
    from iotonboard.disk.owner import Owner

_ANYBODY = -1
_PROGRAM = "mosquitto"
_PROCESS = re.compile(r"mosquitto[-.0-9]*(\\n)?")  # not mosquitto_pub and its like
_START_FIELD = 22 - 3  # of /proc/PID/stat (proc(5)), counted from behind the name in brackets
_UNSURE_S = 2.0  # the start of the system is told in whole seconds, and a start takes its time
_ABSENT = "start the broker, with this file as pid_file"
_STALE_HINT = "the file is of an earlier start, or of another program: start the broker, with this file as pid_file"


@dataclass(frozen=True, slots=True)
class Process:
    """A process: its number, and the moment of its start in the system's ticks since that began; 0 is not known."""

    number: int
    start: int

    def status(self) -> dict[str, str]:
        """What Linux tells about it; empty elsewhere, for one that is gone, and where another one has its number."""
        try:
            with open(f"/proc/{self.number:d}/status", encoding="utf-8", errors="replace") as file:
                found = {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
        except OSError:
            return {}
        return found if _start_of(self.number) == self.start else {}

    def lives(self) -> bool:
        """Say whether it has not ended."""
        fields = self.status()
        if fields:
            return not fields.get("State", "").startswith(("Z", "X"))
        try:
            os.kill(self.number, 0)
        except ProcessLookupError:
            return False
        except OSError:
            return True
        return not os.path.isdir("/proc/self")

    def started_at(self) -> float:
        """When it started, in seconds since 1970; ``OSError``, ``ValueError``: that is not told here."""
        return _booted_at() + self.start / os.sysconf("SC_CLK_TCK")

    def has_hangup(self, mask: str) -> bool:
        """Say whether SIGHUP is in a set of signals, as /proc names them."""
        return bool(int(self.status().get(mask, "0"), 16) >> (signal.SIGHUP - 1) & 1)

    def hang_up(self) -> None:
        """Send it a SIGHUP, and nobody who took its number over.

        Raises:
            BusyError: it ended, or the caller may not.
        """
        try:
            with _held(self.number) as descriptor:
                if _start_of(self.number) != self.start:
                    raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
                if descriptor is None:
                    os.kill(self.number, signal.SIGHUP)
                else:
                    signal.pidfd_send_signal(descriptor, signal.SIGHUP)
        except OSError as error:
            raise BusyError(
                f"cannot signal process {self.number}: {error.strerror}", hint="run as the broker's user or as root"
            ) from error


@contextlib.contextmanager
def _held(number: int) -> Iterator[int | None]:
    """A process as a descriptor, which stays that one's; ``None`` on a system without (pidfd_open(2))."""
    try:
        descriptor = os.pidfd_open(number)
    except ProcessLookupError:
        raise
    except (AttributeError, OSError):
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _start_of(number: int) -> int:
    try:
        with open(f"/proc/{number:d}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[_START_FIELD])
    except (OSError, ValueError, IndexError):
        return 0


def _booted_at() -> float:
    with open("/proc/stat", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("btime "))


def broker_process(method: Method) -> Process | None:
    """The broker's process; ``None`` behind a configured command.

    Raises:
        NotFoundError: there is no such broker process.
        BusyError: it cannot be asked for.
    """
    if method.kind == "command":
        return None
    if method.kind == "pid":
        said = _read_pid_file(method.target)
    else:
        said = _Said(run_words(["systemctl", "show", "-p", "MainPID", "--value", method.target], 30).strip())
    number = int(said.text) if re.fullmatch("[0-9]{1,10}", said.text) else 0
    process = Process(number, _start_of(number))
    if number < 2 or not process.lives():
        raise NotFoundError(f"no broker runs behind {method.kind}:{method.target}", hint="start the broker first")
    if method.kind == "pid":  # a unit is systemd's to know
        _check_broker(process, method.target, said)
    return process


@dataclass(frozen=True, slots=True)
class _Said:
    """What somebody says: which users can, ``_ANYBODY`` where everybody may write it, and when they did."""

    text: str
    owners: frozenset[int] = frozenset()
    written_at: float = 0.0


def _read_pid_file(path: str) -> _Said:
    """What a pid file says.

    Raises:
        NotFoundError: there is no such file.
        ConflictError: a link, a FIFO or another thing stands there, or it is too large.
    """
    path = os.path.abspath(path)
    if not os.path.lexists(os.path.dirname(path)):  # a folder below /run, which the broker's start makes
        raise NotFoundError(f"there is no file {path!r}", hint=_ABSENT)
    with open_folder(os.path.dirname(path)) as folder:
        file = folder.open(os.path.basename(path))
        if file is None:
            raise NotFoundError(f"there is no file {path!r}", hint=_ABSENT)
        with file:
            found = os.fstat(file.fileno())
            owners = {found.st_uid, *([_ANYBODY] if found.st_mode & stat.S_IWOTH else [])}
            return _Said(file.read(64).decode("ascii", "replace").strip(), frozenset(owners), found.st_mtime)


def _check_broker(process: Process, path: str, said: _Said) -> None:
    """Make sure that a process is a broker, and that whoever wrote the pid file may speak for it: root, or its user."""
    fields, pid = process.status(), process.number
    name, users = fields.get("Name", _PROGRAM), {int(uid) for uid in fields.get("Uid", "").split()}
    if not _PROCESS.fullmatch(name):
        raise NotFoundError(
            f"process {pid}, which {path!r} names, is {name!r} and not {_PROGRAM}; nothing was sent to it",
            hint=_STALE_HINT,
        )
    if _is_of_another(process, said.written_at):
        raise NotFoundError(
            f"process {pid} started after {path!r} was written, which names another one; nothing was sent to it",
            hint=_STALE_HINT,
        )
    if users and (strangers := said.owners - users - {0}):
        who = "everybody may write it" if _ANYBODY in strangers else f"user {min(strangers)} wrote it"
        raise NotFoundError(
            f"{path!r} does not speak for process {pid}: {who}, and that process is of user {min(users)}; nothing was"
            " sent to it",
            hint=f"delete it and start the broker, with this file as pid_file: rm {shlex.quote(path)}",
        )


def _is_of_another(process: Process, written_at: float) -> bool:
    """Say whether a pid file was written before its process started.

    A file of before the start of the system says nothing: clocks are set while systems start.
    """
    try:
        return _booted_at() <= written_at < process.started_at() - _UNSURE_S
    except (OSError, ValueError, StopIteration):
        return False


def run_words(words: list[str], timeout_s: int, as_user: Owner | None = None) -> str:
    """Run a program without a shell, and answer what it printed.

    Raises:
        BusyError: it did not run, or failed.
    """
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
