"""Where a passphrase comes from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from iotonboard.cli.person import ask_secret
from iotonboard.cli.process import keep_secrets
from iotonboard.disk.owner import as_caller
from iotonboard.disk.reading import read_file
from iotonboard.errors import ConflictError, KeyUnavailableError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iotonboard.ca.passphrase import Passphrase

_MAX_FILE = 1 << 16
_HINT = "name its file with --passphrase-file or IOTONBOARD_PASSPHRASE_FILE"


def find_passphrase(
    file: str | None,
    environment: Mapping[str, str],
    prompt: str,
    *,
    repeat: bool,
    tell_if_open: Callable[[str], object],
) -> Passphrase:
    """Find a passphrase: in a file (``-`` is stdin), in the environment, else on a terminal, where ``prompt`` asks.

    ``repeat`` asks twice. ``tell_if_open`` is called with the path of a file that was read.

    Raises:
        KeyUnavailableError: none was given and nobody is there to ask, or it is not usable.
    """
    from iotonboard.ca.passphrase import parse_passphrase, parse_passphrase_file

    keep_secrets()
    if file == "-":
        return parse_passphrase_file(sys.stdin.buffer.readline(_MAX_FILE))
    if file is not None:
        try:
            with as_caller():  # it is root's, where root works as the state's owner
                content = read_file(file, limit=_MAX_FILE)
            tell_if_open(file)
            return parse_passphrase_file(content)
        except (NotFoundError, ConflictError) as error:  # not the exit code of a device that is not there
            raise KeyUnavailableError(f"no passphrase: {error.message}", hint=_HINT) from None
    if "IOTONBOARD_PASSPHRASE" in environment:
        said = environment["IOTONBOARD_PASSPHRASE"]
        if not said:
            raise KeyUnavailableError(
                "IOTONBOARD_PASSPHRASE is empty", hint="set it, or type: unset IOTONBOARD_PASSPHRASE"
            )
        return parse_passphrase(said.encode("utf-8", "surrogateescape"))
    if not sys.stdin.isatty():
        raise KeyUnavailableError(
            "the CA passphrase is needed and nobody is there to type it",
            hint=_HINT,
        )
    return parse_passphrase(ask_secret(prompt, repeat=repeat).encode("utf-8"))
