"""``register --stream`` as a script holds it."""

from __future__ import annotations

import json
import select
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from support.program import PROGRAM, State, program_environment

WAIT_S = 60


class Stream:
    """The co-process as a script holds it: write a line, read a line."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._buffered = b""

    def send(self, *lines: str | bytes) -> None:
        assert self.process.stdin is not None
        for line in lines:
            self.process.stdin.write((line.encode() if isinstance(line, str) else line) + b"\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """The next answer; it must come although stdin stays open."""
        assert self.process.stdout is not None
        while b"\n" not in self._buffered:
            if not select.select([self.process.stdout], [], [], WAIT_S)[0]:
                pytest.fail("no answer: the program waits for more input, or does not flush")
            chunk = self.process.stdout.read1(1 << 16)  # type: ignore[attr-defined]
            if not chunk:
                pytest.fail(f"the stream ended: {self.process.stderr.read().decode()}")  # type: ignore[union-attr]
            self._buffered += chunk
        line, _, self._buffered = self._buffered.partition(b"\n")
        return json.loads(line)

    def ask(self, line: str | bytes) -> dict[str, Any]:
        self.send(line)
        return self.answer()

    def told(self, words: str) -> str:
        """What is on stderr up to some words; they must come although stdin stays open."""
        assert self.process.stderr is not None
        told = ""
        while words not in told:
            if not select.select([self.process.stderr], [], [], WAIT_S)[0]:
                pytest.fail(f"not told: {told}")
            chunk = self.process.stderr.read1(1 << 16)  # type: ignore[attr-defined]
            if not chunk:
                pytest.fail(f"the stream ended: {told}")
            told += chunk.decode()
        return told

    def end(self) -> None:
        """Close stdin."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.stdin = None

    def close(self) -> tuple[int, str]:
        """Close stdin; the exit code and stderr."""
        self.end()
        rest, errors = self.process.communicate(timeout=WAIT_S)
        assert self._buffered + rest == b""
        return self.process.returncode, errors.decode()


@contextmanager
def opened(state: State, *options: str) -> Iterator[Stream]:
    process = subprocess.Popen(
        [*PROGRAM, "register", "--stream", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=program_environment(state=state),
    )
    try:
        yield Stream(process)
    finally:
        process.kill()
        process.communicate()


def count_pending(state: State) -> int:
    """How many devices' files are noted to be written."""
    with closing(sqlite3.connect(state.path / "devices.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM pending").fetchone()[0])
