"""Lists that come from a file or from stdin."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from iotonboard.errors import NotFoundError, PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@contextmanager
def open_text(source: str) -> Iterator[Iterator[str]]:
    """Open a list of devices for reading line by line; ``-`` is stdin.

    Raises:
        NotFoundError: it cannot be opened.
        PolicyError: while reading, a line that is not UTF-8.
    """
    if source == "-":
        yield _decoded(sys.stdin.buffer, "stdin")
        return
    try:
        file = open(source, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise NotFoundError(f"cannot read {source!r}: {error.strerror}", hint="check the name of the list") from None
    with file:
        yield _decoded(file, repr(source))


def _decoded(lines: Iterable[bytes], source: str) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError:
            raise PolicyError(
                f"{source}: line {number} is not UTF-8 text",
                hint="save the list as 'CSV UTF-8' in the spreadsheet",
            ) from None
