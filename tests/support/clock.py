"""Programs that are told another time of day.

The library is loaded without the ``faketime`` program around it: that one fails when a process that was killed
earlier, with the same number, left its semaphore behind. What processes leave is cleared away at the end.
"""

from __future__ import annotations

import atexit
from functools import cache
from pathlib import Path

from support.tools import need, run_tool


def fake_time(moment: str) -> dict[str, str]:
    """Variables under which a program begins at ``moment``: ``"+3d"`` or ``"@2050-01-01 00:00:01"`` in UTC."""
    return {"LD_PRELOAD": _library(), "FAKETIME": moment, "FAKETIME_NO_CACHE": "1", "TZ": "UTC"}


def fake_clock(file: Path) -> dict[str, str]:
    """Variables that make a process read its offset from ``file`` whenever it asks for the time of day."""
    file.write_text("+0")
    return {
        "LD_PRELOAD": _library(),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # keepalives and waiting go on as they were
    }


@cache
def _library() -> str:
    need("faketime")
    atexit.register(_sweep)
    _sweep()
    return run_tool("faketime", "-f", "+0", "/usr/bin/env").stdout.partition("LD_PRELOAD=")[2].splitlines()[0]


def _sweep() -> None:
    """Delete the semaphores and shared pages of processes that ended without doing so."""
    for path in Path("/dev/shm").glob("*faketime_s*"):
        if not Path("/proc", path.name.rpartition("_")[2]).exists():
            path.unlink(missing_ok=True)
