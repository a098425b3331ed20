"""Starts the program for the tests without paying its start each time.

One process per test worker does what every start does before it looks at its words, and then forks: each call is
still a process of its own, that reads its words, its environment and its streams and ends as the program ends. A call
that changes what Python itself reads at its start is started anew, and so is every call of the long version. Tests of
the start, scripts and streams start the program themselves.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pkgutil
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn

_READ_AT_START = re.compile(r"PYTHON|LC_|LANG|LD_|TZ|FAKETIME")
_SIGNALS = {signal.SIGCHLD}
_LONGEST = 1 << 20  # octets of words and environment


class Launcher:
    """The tests' side. ``program`` is what to run where Python itself has to start anew."""

    forks = True

    def __init__(self, program: Sequence[str], environment: Mapping[str, str]) -> None:
        self._program = program
        self._at_start = _read_at_start(environment)
        self._lock = threading.Lock()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                env=environment,
            )

    def run(
        self,
        words: Sequence[str],
        *,
        streams: Sequence[IO[bytes]],
        environment: Mapping[str, str],
        cwd: str | Path,
        timeout_s: float,
    ) -> int:
        """Run one command line to its end and return its exit code, negative for a signal.

        Raises:
            TimeoutError: it did not end in time, and was killed.
        """
        if not self.forks or _read_at_start(environment) != self._at_start:
            given, out, err = streams
            argv = [*self._program, *words]
            return subprocess.call(
                argv, stdin=given, stdout=out, stderr=err, env=environment, cwd=cwd, timeout=timeout_s
            )
        ours, theirs = socket.socketpair()
        with ours, theirs:
            message = json.dumps([words, environment, str(cwd)]).encode()
            with self._lock:
                descriptors = [*(stream.fileno() for stream in streams), theirs.fileno()]
                socket.send_fds(self._channel, [message], descriptors)
            theirs.close()
            ours.settimeout(timeout_s)
            with ours.makefile("r") as answers:
                child = int(answers.readline())
                try:
                    return int(answers.readline())
                except TimeoutError:
                    os.kill(child, signal.SIGKILL)
                    raise


def preload() -> None:
    """Load every verb, so that no child pays for it."""
    for room in ("iotonboard.cli", "iotonboard.commands"):
        for module in pkgutil.iter_modules(importlib.import_module(room).__path__, room + "."):
            importlib.import_module(module.name)


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if _READ_AT_START.match(name)}


def _serve(channel: socket.socket) -> None:
    running: dict[int, socket.socket] = {}

    def reap(*_: object) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                with running.pop(ended[0]) as answers:
                    answers.sendall(b"%d\n" % os.waitstatus_to_exitcode(ended[1]))

    signal.signal(signal.SIGCHLD, reap)
    while True:
        message, descriptors, *_ = socket.recv_fds(channel, _LONGEST, 4)
        if not message:
            return
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        child = os.fork()
        if child == 0:
            _become(message, descriptors, channel)
        running[child] = socket.socket(fileno=descriptors.pop())
        running[child].sendall(b"%d\n" % child)
        for descriptor in descriptors:
            os.close(descriptor)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _become(message: bytes, descriptors: list[int], channel: socket.socket) -> NoReturn:
    from iotonboard.cli import app, process

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    channel.close()
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    os.closerange(3, max(descriptors) + 1)
    words, environment, cwd = json.loads(message)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv[1:] = words
    process.end(app.run())


if __name__ == "__main__":
    from iotonboard.cli import process

    process.begin()
    preload()
    _serve(socket.socket(fileno=int(sys.argv[1])))
