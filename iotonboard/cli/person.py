"""Who runs the program on which machine, and what only that person can tell."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from iotonboard.cli import output
from iotonboard.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


def operator(environment: Mapping[str, str]) -> str:
    """Who runs the program, as the system says; whoever it is through ``sudo`` stands beside."""
    try:
        import pwd

        name = pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        name = environment.get("USERNAME", "unknown")
    sudo = environment.get("SUDO_USER", "")
    return output.printable(f"{name} (sudo {sudo})" if sudo and sudo != name else name)[:128]


def host(environment: Mapping[str, str]) -> str:
    """The machine's name."""
    name = os.uname().nodename if hasattr(os, "uname") else environment.get("COMPUTERNAME", "unknown")
    return output.printable(name)[:128]


def ask_secret(text: str, *, repeat: bool) -> str:
    """Ask on the terminal, without showing what is typed.

    Raises:
        UsageError: with ``repeat``, the two answers differ.
    """
    from getpass import getpass

    answer = getpass(f"{text}: ", stream=sys.stderr)
    if repeat and getpass(f"{text} (again): ", stream=sys.stderr) != answer:
        raise UsageError("the two passphrases differ", hint="type the same one twice")
    return answer
