"""Which published files a running broker has not read yet, as far as Linux tells: /proc, and the files' access times.

A file that was written since the process started, and that nobody has read since, is not in force there. The program
itself reads files without leaving a trace (``reading.py``). Where somebody else read it, or access times are not kept,
nothing is said.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from iotonboard.broker.process import broker_process
from iotonboard.errors import IotOnboardError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from iotonboard.broker.reload_method import Method

_UNSURE_S = 2.0  # the start of the system is told in whole seconds, and a start takes its time


def unread_files(method: Method, paths: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    """The broker's process, and those of the files that it has surely not read; no process where that is not known."""
    with contextlib.suppress(IotOnboardError, OSError, ValueError, StopIteration):
        process = broker_process(method)
        if process is not None:
            return process.number, tuple(_unread(paths, process.started_at()))
    return 0, ()


def _unread(paths: Sequence[str], started_at: float) -> Iterator[str]:
    for path in paths:
        with contextlib.suppress(OSError):
            found = os.stat(path)
            is_newer = found.st_mtime > started_at + _UNSURE_S
            if is_newer and found.st_atime_ns <= found.st_mtime_ns and not os.statvfs(path).f_flag & os.ST_NOATIME:
                yield path
