"""The program on a real pseudo-terminal, as a person sees it."""

from __future__ import annotations

import os
import re
import select
import signal
import time
from collections.abc import Sequence

import pytest

from support.program import PROGRAM, State, program_environment
from support.tools import need_module

pty = pytest.importorskip("pty")
pyte = need_module("pyte")

TIMEOUT_S = 20


def on_terminal(
    state: State | None,
    *words: str,
    columns: int = 80,
    answers: Sequence[str] = (),
    env: dict[str, str | None] | None = None,
) -> tuple[str, list[str], int]:
    """Run the program on a terminal; returns the raw output, the lines on the screen and the exit code."""
    variables = program_environment(
        state=state,
        env={"COLUMNS": str(columns), "LINES": "60", "TERM": "xterm-256color", "NO_COLOR": None, **(env or {})},
    )
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(PROGRAM[0], [*PROGRAM, *words], variables)  # noqa: S606 - the program on trial
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
    answered = 0
    raw, left, deadline = b"", list(answers), time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                piece = os.read(terminal, 1 << 16)
            except OSError:  # the child closed its end
                break
            if not piece:
                break
            raw += piece
            if left and re.search(rb"(?i)(pass(phrase|word)[^\n]*|Type yes): $", raw[answered:]):
                answered = len(raw)
                os.write(terminal, (left.pop(0) + "\n").encode())
    else:
        os.kill(child, signal.SIGKILL)
    os.close(terminal)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    screen = pyte.Screen(columns, 60)
    pyte.ByteStream(screen).feed(raw)
    return raw.decode(), [line.rstrip() for line in screen.display if line.strip()], code
