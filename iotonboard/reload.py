"""Make a Mosquitto broker read its files again, and see what came of it.

SIGHUP ends a broker that is still starting: it is sent only to a process that catches it (Linux tells in
/proc), or whose listener answers TLS. Afterwards the process must still live and, where a listener is
named, answer: Mosquitto has one thread, so what answers a new connection has finished its reload.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import ssl
import subprocess
import time
from typing import TYPE_CHECKING

from iotonboard import fsio
from iotonboard.errors import BusyError, NotFoundError, PolicyError, UsageError
from iotonboard.record import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

_POLL_S = 0.05
_CONNECT = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x"  # MQTT 3.1.1 section 3.1, client id "x", no user
_CONNACK_ACCEPTED = b"\x20\x02\x00\x00"
_HINT = "set it: iotonboard config set broker.reload pid:/run/mosquitto.pid (or systemd:UNIT, command:...)"


@dataclass(frozen=True, slots=True)
class Method:
    """How to reload: ``kind`` is pid, systemd or command; ``listener`` is (host, port) or None."""

    kind: str
    target: str
    listener: tuple[str, int] | None


def parse_method(text: str, listener: str) -> Method:
    """Read ``pid:FILE``, ``systemd:UNIT`` or ``command:WORDS``, and ``HOST:PORT`` (may be empty).

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
    host, _, port = listener.rpartition(":")
    if listener and not (host and port.isdecimal() and 0 < int(port) < 65536):
        raise UsageError(f"{listener!r} is not a listener", hint="write HOST:PORT, as in localhost:8883")
    return Method(kind, target, (host.strip("[]"), int(port)) if listener else None)


def reload_broker(method: Method, paths: Iterable[str], *, timeout_s: int) -> str:
    """Reload, check the outcome and say what was seen.

    ``paths`` are the published files; the broker's own user must be able to read them.

    Raises:
        NotFoundError: there is no such broker process.
        BusyError: it is still starting; it ended at the reload, or does not answer.
        PolicyError: it could not read a file, or admits clients without a certificate.
    """
    deadline = time.monotonic() + timeout_s
    pid = _process(method)
    if pid is not None:
        _wait_until_ready(pid, method, deadline)
        for path in paths:
            _check_readable(pid, path)
    elif method.listener:
        _wait_for_answer(method.listener, deadline, "is not up, or is still starting; nothing was sent to it")
    _signal(method, pid, timeout_s)
    if pid is not None and not _lives(pid):
        raise BusyError(
            f"the broker (process {pid}) ended at the reload", hint="start it again; its log says why it ended"
        )
    if method.listener is None:
        return "the broker was told to reload and lives; name broker.listener to have it checked that it answers"
    _wait_for_answer(method.listener, deadline, "does not answer after the reload: see its log")
    if pid is not None and not _lives(pid):
        raise BusyError(
            f"the broker (process {pid}) ended at the reload", hint="start it again; its log says why it ended"
        )
    if _admits_anybody(method.listener):
        raise PolicyError(
            "the broker admits a client without a certificate", hint="compare its mosquitto.conf with issue-broker's"
        )
    return "the broker has reloaded: it answers, and refuses a client without a certificate"


def _process(method: Method) -> int | None:
    if method.kind == "command":
        return None
    if method.kind == "pid":
        text = fsio.read_file(method.target, limit=64).decode("ascii", "replace").strip()
    else:
        text = _run(["systemctl", "show", "-p", "MainPID", "--value", method.target], 30).strip()
    if not text.isdecimal() or int(text) < 2 or not _lives(int(text)):
        raise NotFoundError(f"no broker runs behind {method.kind}:{method.target}", hint="start the broker first")
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


def _wait_until_ready(pid: int, method: Method, deadline: float) -> None:
    """Wait until the process catches SIGHUP, or its listener answers where the system does not tell."""
    while fields := _status(pid):
        if int(fields.get("SigCgt", "0"), 16) >> (signal.SIGHUP - 1) & 1:
            return
        if time.monotonic() > deadline:
            raise BusyError(
                "the broker is still starting; a SIGHUP would end it, none was sent",
                hint="run 'iotonboard sync-acl --reload' once it runs",
            )
        time.sleep(_POLL_S)
    if method.listener is None:
        raise BusyError(
            "this system does not tell whether the broker has started", hint="name its listener: broker.listener"
        )
    _wait_for_answer(method.listener, deadline, "is still starting; nothing was sent to it")


def _check_readable(pid: int, path: str) -> None:
    fields = _status(pid)
    if not fields:
        return
    uid = int(fields["Uid"].split()[1])
    groups = {int(fields["Gid"].split()[1]), *map(int, fields["Groups"].split())}
    obstacle = fsio.obstacle_to_reading(path, uid, groups)
    if obstacle:
        raise PolicyError(
            f"the broker's user (number {uid}) cannot read {path!r}: {obstacle}; it was not reloaded",
            hint="set broker.group and broker.mode, and publish outside of the private state directory:"
            " broker_acl_file and broker_crl_file",
        )


def _signal(method: Method, pid: int | None, timeout_s: int) -> None:
    if method.kind == "pid" and pid is not None:
        try:
            os.kill(pid, signal.SIGHUP)
        except OSError as error:
            raise BusyError(
                f"cannot signal process {pid}: {error.strerror}", hint="run as the broker's user or as root"
            ) from error
    elif method.kind == "systemd":
        _run(["systemctl", "reload", method.target], timeout_s)
    else:
        _run(shlex.split(method.target), timeout_s)


def _run(words: list[str], timeout_s: int) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the officer's own configuration, no shell
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BusyError(f"{words[0]!r} did not run: {error}", hint="check broker.reload") from error
    if done.returncode:
        raise BusyError(f"{shlex.join(words)!r} failed: {done.stderr.strip()[:200]}", hint="check broker.reload")
    return done.stdout


def _wait_for_answer(listener: tuple[str, int], deadline: float, otherwise: str) -> None:
    while not _greets(listener):
        if time.monotonic() > deadline:
            raise BusyError(f"the broker at {listener[0]}:{listener[1]} {otherwise}", hint="look into the broker's log")
        time.sleep(_POLL_S)


def _greets(listener: tuple[str, int]) -> bool:
    """Say whether a TLS server answers: a refusal in TLS is an answer, a silent end is none."""
    try:
        with socket.create_connection(listener, 5) as plain, _context().wrap_socket(plain):
            return True
    except ssl.SSLEOFError:
        return False
    except ssl.SSLError:
        return True
    except OSError:
        return False


def _admits_anybody(listener: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(listener, 5) as plain, _context().wrap_socket(plain) as secured:
            secured.sendall(_CONNECT)
            return secured.recv(4) == _CONNACK_ACCEPTED
    except OSError:
        return False


def _context() -> ssl.SSLContext:
    """A client that has no certificate and believes any: it asks whether somebody is there, nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
