"""The program on a real pseudo-terminal, as a person sees it."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import termios
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.faults import own_the_terminal
from support.messages import refuse_python_values
from support.program import State, launcher, program_environment
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
    terminal, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
    with ThreadPoolExecutor(1) as beside:
        running = beside.submit(_run, words, variables, theirs)
        raw = _talk(terminal, answers)
        code = running.result()
    os.close(terminal)
    screen = pyte.Screen(columns, 60)
    pyte.ByteStream(screen).feed(raw)
    told, given = re.sub(r"\x1b\[[0-9;]*m", "", raw.decode()), [*variables.values(), *answers]
    refuse_python_values(code, words, told, "", given)
    return raw.decode(), [line.rstrip() for line in screen.display if line.strip()], code


def _run(words: Sequence[str], variables: dict[str, str], terminal: int) -> int:
    """Run to the end; the program's end of the terminal is closed then."""
    with open(terminal, "r+b", buffering=0) as file:
        return launcher().run(
            words,
            streams=[file] * 3,
            environment=variables,
            cwd=os.getcwd(),
            timeout_s=TIMEOUT_S,
            before=own_the_terminal,
        )


def _talk(terminal: int, answers: Sequence[str]) -> bytes:
    """Read what is written until the other end is closed, and type an answer to each question."""
    answered = 0
    raw, left = b"", list(answers)
    while True:
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:  # the other end is closed
            return raw
        raw += piece
        if left and re.search(rb"(?i)(pass(phrase|word)[^\n]*|PIN [^\n]*|Type [^\n]*): $", raw[answered:]):
            answered = len(raw)
            os.write(terminal, (left.pop(0) + "\n").encode())
