"""The lines of a stream on stdin, as they come."""

from __future__ import annotations

import os
import select
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_IDLE_AFTER_S = 0.25
_MAX_LINE = 1 << 20  # octets; a longer one is handed on in part, and refused


def lines_of_stdin(stopped: Callable[[], bool]) -> Iterator[bytes | None]:
    """Lines as they come, with their ends, and ``None`` when none came for a moment after the last one."""
    buffered = b""
    changed = is_too_long = False
    while True:
        *lines, buffered = buffered.split(b"\n")
        for line in lines[1:] if is_too_long else lines:  # of a line that is too long, the end was not told yet
            yield line + b"\n"
            changed = True
        is_too_long = is_too_long and not lines
        if len(buffered) > _MAX_LINE:
            if not is_too_long:
                yield buffered
            is_too_long, buffered = True, b""
        while not _is_readable(sys.stdin.fileno()):
            if stopped():
                return
            if changed:
                yield None
                changed = False
        chunk = os.read(sys.stdin.fileno(), 1 << 16)
        if not chunk:
            break
        buffered += chunk
    if buffered and not is_too_long:
        yield buffered


def _is_readable(descriptor: int) -> bool:
    try:
        return bool(select.select([descriptor], [], [], _IDLE_AFTER_S)[0])
    except OSError:  # a pipe on Windows cannot be asked; reading it blocks instead
        return True
