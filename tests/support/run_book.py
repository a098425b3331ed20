"""The console blocks of a guide page, typed as they stand: what they print takes the place of what stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def typed(
    text: str,
    places: Callable[[], Mapping[str, str]],
    environment: Callable[[], Mapping[str, str]],
    *,
    call: Callable[[list[str]], str] | None = None,
) -> str:
    """Run every command of the blocks and put what it prints below it: stdout, then stderr.

    ``places`` are the page's places and ours, and ``environment`` the variables of the calls, asked for each line.
    ``call`` runs the program without a shell, where that is enough; it returns what was printed.
    """

    def run(line: str) -> str:
        words, there = line, places()
        for place, ours in there.items():
            words = words.replace(place, ours)
        if call is not None and words.startswith("iotonboard "):
            return f"$ {line}\n{shown(call(shlex.split(words)[1:]))}"
        code = f'iotonboard() {{ "{sys.executable}" -m iotonboard "$@"; }}; {words}'
        done = subprocess.run(
            ["/bin/sh", "-c", code],
            env=dict(environment()),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode in (0, 9), f"{line}\n{done.stdout}{done.stderr}"
        return f"$ {line}\n{shown(done.stdout + done.stderr)}"

    def shown(printed: str) -> str:
        for place, ours in places().items():
            printed = printed.replace(ours, place)
        return printed

    def block(match: re.Match[str]) -> str:
        lines = [line.removeprefix("$ ") for line in match[1].splitlines() if line.startswith("$ ")]
        return "```console\n" + "".join(map(run, lines)) + "```"

    return BLOCK.sub(block, text)
