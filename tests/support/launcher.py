"""Starts the program for the tests without paying its start each time.

One process per test worker loads the program as every start begins it, does once what most calls do, and then forks:
each call is still a process of its own, that reads its words, its environment and its streams and ends as the program
ends. A call that changes what Python itself reads at its start is started anew, and so is every call of the long
version. Tests of the start, scripts and streams start the program themselves.

A fork costs what it has to copy of the memory that is there before it. So what draws labels, as much again as all the
rest, is only in the process that a worker has for them.

A test may have something done in the forked process before the program begins: ``support.faults`` are such things.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import pkgutil
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, NoReturn

_READ_AT_START = re.compile(r"PYTHON|LC_|LANG|LD_|TZ|FAKETIME")
_READ_AGAIN = "FAKETIME"  # by the library that fakes the time, whenever the time is asked for
_SIGNALS = {signal.SIGCHLD}
_LONGEST = 1 << 20  # octets of words and environment


class Launcher:
    """The tests' side.

    Args:
        program: what to run where Python itself has to start anew.
        draws_labels: whether its calls need the libraries that draw labels.
    """

    forks = True

    def __init__(self, program: Sequence[str], environment: Mapping[str, str], *, draws_labels: bool = False) -> None:
        self._program = program
        self._at_start = _read_at_start(environment)
        self._lock = threading.Lock()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        tests = str(Path(__file__).parents[1])
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "support.launcher", str(theirs.fileno()), str(int(draws_labels))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                env={**environment, "PYTHONPATH": os.pathsep.join([environment["PYTHONPATH"], tests])},
            )

    def run(
        self,
        words: Sequence[str],
        *,
        streams: Sequence[IO[bytes]],
        environment: Mapping[str, str],
        cwd: str | Path,
        timeout_s: float,
        before: Callable[[], object] | None = None,
    ) -> int:
        """Run one command line to its end and return its exit code, negative for a signal.

        Args:
            before: what the forked process does first; a function of ``support`` or of the standard library, or a
                ``functools.partial`` of one, because it goes there by its name.

        Raises:
            TimeoutError: it did not end in time, and was killed.
        """
        is_ordinary = _read_at_start(environment) == self._at_start
        if before is None and not (self.forks and is_ordinary):
            given, out, err = streams
            argv = [*self._program, *words]
            return subprocess.call(
                argv, stdin=given, stdout=out, stderr=err, env=environment, cwd=cwd, timeout=timeout_s
            )
        assert is_ordinary, "what Python reads at its start cannot be changed in a fork"
        ours, theirs = socket.socketpair()
        with ours, theirs:
            message = pickle.dumps([words, dict(environment), str(cwd), before])
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


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if _READ_AT_START.match(name) and name != _READ_AGAIN}


_RARE = ("nvs_image",)  # needs an extra that a developer's environment lacks


def _load_everything(*, draws_labels: bool) -> None:
    """Import every module of the program, whatever they are called, so that no call pays for it."""
    from iotonboard.cli import process

    process.begin()
    import iotonboard

    for module in pkgutil.walk_packages(iotonboard.__path__, "iotonboard."):
        if not module.name.endswith(("__main__", *_RARE)) and (draws_labels or not module.name.endswith(".labels")):
            _ = import_module(module.name).__doc__  # which loads what waits for its first use
    import_module("support.faults")


# What makes Python compile, choose and remember what nearly every call needs.
_PRACTICE = (
    "init-ca --generate-key-file {key}",
    "register a b",
    "register --stream --json",
    "renew a",
    "revoke b",
    "sync-acl",
    "list --json",
    "show a",
    "health --deep --json",
)


def _practise() -> None:
    """Do once what most calls do, on a state that is gone afterwards."""
    from iotonboard.cli import app

    with tempfile.TemporaryDirectory() as folder, _saying_nothing(), _environment_put_back():
        for name in [name for name in os.environ if name.startswith("IOTONBOARD_")]:
            del os.environ[name]  # of who starts this
        os.environ["IOTONBOARD_STATE"] = f"{folder}/state"
        for line in _PRACTICE:
            code = app.run(line.format(key=f"{folder}/key").split())
            assert code in (0, 9), f"'{line}' ended with {code}"  # 9: no backup was made yet
            os.environ["IOTONBOARD_PASSPHRASE_FILE"] = f"{folder}/key"
    gc.collect()
    gc.freeze()  # what is there is never looked at again, and stays shared


@contextlib.contextmanager
def _environment_put_back() -> Iterator[None]:
    environment = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)


@contextlib.contextmanager
def _saying_nothing() -> Iterator[None]:
    """The standard streams lead nowhere."""
    kept = [os.dup(number) for number in range(3)]
    with open(os.devnull, "r+b", buffering=0) as nothing:
        for number in range(3):
            os.dup2(nothing.fileno(), number)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, descriptor in enumerate(kept):
            os.dup2(descriptor, number)
            os.close(descriptor)


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
    words, environment, cwd, before = pickle.loads(message)  # noqa: S301 - from the tests
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv[1:] = words
    if before is not None:
        before()
    try:
        process.end(app.run())
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    _load_everything(draws_labels=sys.argv[2] == "1")
    _practise()
    _serve(socket.socket(fileno=int(sys.argv[1])))
