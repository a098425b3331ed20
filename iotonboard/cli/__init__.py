"""The command line: parse, read environment, clock and terminal, call one command, print. Nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the program as a process of its own and end it with the documented exit code."""
    from iotonboard.cli import process

    process.begin()
    from iotonboard.cli.app import run

    process.end(run(argv))
