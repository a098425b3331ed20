"""The program in the process of the test: for thousands of calls whose own process would cost more than they do."""

from __future__ import annotations

import contextlib
import io
import os
import traceback
from unittest.mock import patch

from iotonboard.cli import app

from support.messages import refuse_python_values
from support.program import Result, State, program_environment


def call(state: State, *words: str) -> Result:
    """Run one command line on a state as ``State.run`` does, with nothing on stdin; exit code 1 stands for a defect."""
    environment = program_environment(state=state)
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace") for _ in range(3)]
    given, out, err = streams
    with (
        patch.dict(os.environ, environment, clear=True),
        patch("sys.stdin", given),
        patch("sys.argv", ["iotonboard", *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            exit_code = app.run(words)
        except Exception:
            traceback.print_exc()
            exit_code = 1
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())
    refuse_python_values(exit_code, words, *texts, list(environment.values()))
    return Result(words, exit_code, *texts)
