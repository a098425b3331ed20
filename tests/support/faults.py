"""Run the real command line in a forked child that dies, or meets a refusing disk, at its n-th step.

A step is a call with which the program changes the world: a file opened for writing, fsync, rename, unlink,
mkdir, or a statement for SQLite. The seams are the operating system's and SQLite's own functions, replaced in
the child alone; the program has no switch for it. Forking saves the start-up, so that every step of every
command can be tried.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from iotonboard.cli import app

from support.launcher import preload
from support.program import Result, State, program_environment

preload()
KILLED = -signal.SIGKILL
_WRITING = ("BEGIN", "COMMIT", "INSERT", "UPDATE", "DELETE", "CREATE", "PRAGMA user_version =", "PRAGMA journal_mode")


@dataclass
class _Countdown:
    left: int
    action: Callable[[], None]

    def step(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.action()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(number: int) -> Callable[[], None]:
    """An action that fails as the operating system does."""

    def action() -> None:
        raise OSError(number, os.strerror(number))

    return action


def _arm(countdown: _Countdown, *, files_only: bool) -> None:
    """Replace the calls with which the program changes the world; this process never goes back."""

    def wrap(name: str, *, when: Callable[..., bool] = lambda *_: True) -> None:
        original = getattr(os, name)

        def stepping(*args: object, **options: object) -> object:
            if when(*args):
                countdown.step()
            answer = original(*args, **options)
            if name == "open" and not files_only and when(*args):
                countdown.step()  # the file is there and empty
            return answer

        setattr(os, name, stepping)

    wrap("open", when=lambda _path, flags=0, *_: bool(flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR)))
    for name in ("replace", "fsync", "unlink", "mkdir", "fchmod", "sync"):
        wrap(name)
    if files_only:
        return

    class Connection(sqlite3.Connection):
        def execute(self, statement: str, *args: object) -> sqlite3.Cursor:
            if statement.lstrip().startswith(_WRITING):
                countdown.step()
            return super().execute(statement, *args)

    connect = sqlite3.connect
    sqlite3.connect = lambda *args, **options: connect(*args, factory=Connection, **options)


def run_forked(
    state: State,
    *args: str | Path,
    stop_at: int = 0,
    action: Callable[[], None] = _kill,
    files_only: bool = False,
    input: bytes = b"",  # noqa: A002  # subprocess.run's own word
    env: dict[str, str | None] | None = None,
    before: Callable[[], object] = lambda: None,
) -> Result:
    """Run one command line in a fork; at its step ``stop_at`` it is killed, or ``action`` happens.

    ``before`` runs in the child before anything else.
    """
    words = [str(word) for word in args]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as given:
        given.write(input)
        given.seek(0)
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for source, target in ((given, 0), (out, 1), (err, 2)):
                    os.dup2(source.fileno(), target)
                sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, m) for n, m in ((0, "r"), (1, "w"), (2, "w")))
                os.environ.clear()
                os.environ.update(program_environment(state=state, env=env))
                before()
                if stop_at:
                    _arm(_Countdown(stop_at, action), files_only=files_only)
                code = app.run(words)
                sys.stdout.flush()
                sys.stderr.flush()
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        out.seek(0)
        err.seek(0)
        return Result(tuple(words), os.waitstatus_to_exitcode(status), out.read().decode(), err.read().decode())


def must(result: Result, *codes: int) -> Result:
    """Assert that a call ended as documented."""
    assert result.exit_code in (codes or (0,)), result
    assert "Traceback" not in result.stderr, result
    return result
