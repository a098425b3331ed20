"""Who runs the program on which machine, and what only that person can tell."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import stat
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from iotonboard.cli import output
from iotonboard.errors import KeyUnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


_LONG_PROMPT = re.compile(r"([\w ]*?passphrase) ((?:for|in) .*)")


def operator(environment: Mapping[str, str]) -> str:
    """Who runs the program, as the system says: user number and its name.

    Whom ``SUDO_USER`` names stands only beside it: anybody can set a variable.
    """
    said = [_system_user()]
    if sudo := environment.get("SUDO_USER"):
        said.append(f"SUDO_USER {sudo}")
    return output.printable(" ".join(said))[:128]


def _system_user() -> str:
    if not hasattr(os, "getuid"):  # Windows knows people by their names, and a service by none
        with contextlib.suppress(OSError):
            return os.getlogin()
        return "unknown"
    import pwd

    uid = os.getuid()
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def host(environment: Mapping[str, str]) -> str:
    """The machine's name."""
    name = os.uname().nodename if hasattr(os, "uname") else environment.get("COMPUTERNAME", "unknown")
    return output.printable(name)[:128]


def mode_to_give(path: str) -> str:
    """The mode that makes a file or folder private; empty where it is, or where nobody can look."""
    try:
        mode = os.stat(path).st_mode
    except OSError:  # away; whoever needs it says so
        return ""
    if os.name != "posix" or stat.S_ISFIFO(mode) or not mode & 0o077:
        return ""
    return "700" if stat.S_ISDIR(mode) else "600"


def confirm(question: str) -> None:
    """Ask whether to do what cannot be taken back; only where a person sits at a terminal that shows the answers.

    Raises:
        UsageError: the answer is neither ``yes`` nor ``y``.
    """
    if is_at_a_terminal() and _answer(f"{question} Type yes:") not in {"y", "yes"}:
        raise UsageError("nothing was done", hint="type the command again and answer 'yes', or add --yes")


def _answer(question: str) -> str:
    """What is typed, in lower case and without blanks around it."""
    from iotonboard.cli.layout import message_lines

    asked = "\n".join(message_lines(output.printable(question)))
    with _line_ended():
        sys.stderr.write(f"{asked} ")
        sys.stderr.flush()
        answer = sys.stdin.readline()
        if not answer.endswith("\n"):  # Ctrl-D
            sys.stderr.write("\n")
    return answer.strip().lower()


def is_at_a_terminal() -> bool:
    """Say whether a person sits at a terminal that shows the answers."""
    return all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def answer_exactly(question: str, expected: str) -> None:
    """Ask for something that only who has read it can answer; the case of letters does not matter.

    Raises:
        UsageError: the answer is another one.
    """
    if _answer(question) != expected.lower():
        raise UsageError("that is another one: nothing was done", hint="compare once more, from the beginning")


def ask_secret(
    text: str, *, repeat: bool = False, check: Callable[[str], object] = bool, what: str = "passphrase"
) -> str:
    """Ask on the terminal, without showing what is typed; ``check`` may refuse it before it is typed a second time.

    Raises:
        KeyUnavailableError: nothing was typed.
        UsageError: with ``repeat``, the two answers differ.
        IotOnboardError: whatever ``check`` raised.
    """
    from getpass import getpass

    with _line_ended():
        text = _short_prompt(text)
        answer = getpass(f"{text}: ", stream=sys.stderr)
        if not answer:
            raise KeyUnavailableError(f"no {what} was typed", hint="run the command again, and type it")
        check(answer)
        if repeat and getpass(f"{text} (again): ", stream=sys.stderr) != answer:
            raise UsageError("the two passphrases differ", hint="type the same one twice")
    return answer


def _short_prompt(text: str) -> str:
    """A prompt that fits the terminal: what it is for is said on a line above where both are too long."""
    from iotonboard.cli.layout import cell_width, message_lines, text_width

    found = _LONG_PROMPT.fullmatch(text)
    if found is None or cell_width(f"{text} (again): ") <= text_width():
        return text
    what, whose = found.groups()
    sys.stderr.write("\n".join(message_lines(output.printable(f"{whose}:"))) + "\n")
    return what


@contextmanager
def _line_ended() -> Iterator[None]:
    """For the block, an interruption ends the line on which was asked; so does Ctrl-D, which is one here.

    Also in a batch, whose own handling of Ctrl-C lets a device that is under way come to its end.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except (KeyboardInterrupt, EOFError):
        sys.stderr.write("\n")
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, before)


def tell_if_open(path: str, tell: Callable[[str], object]) -> None:
    """Say so where others may use a file or folder that should be private."""
    from iotonboard.disk.permissions import keeps_modes, warn_if_open

    mode = mode_to_give(path)
    if mode and not keeps_modes(path if os.path.isdir(path) else os.path.dirname(path) or "."):
        warn_if_open(path, 0o777, 0o700)  # chmod does nothing on this disk
    elif mode:
        tell(f"warning: others may use {path!r}; type: chmod {mode} {shlex.quote(path)}")
