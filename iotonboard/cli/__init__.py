"""The command line: parse, read environment, clock and terminal, call one command, print. Nothing else."""

from iotonboard.cli.app import main

__all__ = ["main"]
