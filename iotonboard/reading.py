"""Reading files from disk; what the system refuses becomes one of the program's own errors."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from iotonboard.errors import BusyError, ConflictError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def read_file(path: str, *, limit: int = 1 << 26) -> bytes:
    """Read a whole file of at most ``limit`` octets.

    Raises:
        NotFoundError: there is no such file.
        BusyError: it cannot be read.
        ConflictError: it is larger than ``limit``.
    """
    with _reading(path):
        try:
            with open(path, "rb") as file:
                content = file.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFoundError(f"there is no file {path!r}", hint="check the name") from None
        except IsADirectoryError:
            raise NotFoundError(f"{path!r} is a folder, not a file", hint="name a file in it") from None
    if len(content) > limit:
        raise ConflictError(f"{path!r} is larger than {limit} bytes", hint="this is not the file that was meant")
    return content


def read_pieces(path: str) -> Iterator[bytes]:
    """Read a file of any size in pieces of a mebibyte.

    Raises:
        BusyError: it cannot be read.
    """
    with _reading(path), open(path, "rb") as file:
        while piece := file.read(1 << 20):
            yield piece


def holds(path: str, pieces: Iterable[bytes]) -> bool:
    """Say whether a file is exactly these pieces, read side by side.

    Raises:
        BusyError: it cannot be read.
    """
    with _reading(path), open(path, "rb") as file:
        return all(file.read(len(piece)) == piece for piece in pieces) and not file.read(1)


def read_back(path: str, *, limit: int = 1 << 26) -> bytes:
    """Read a file that was just written, from the medium where the system can drop its cached copy.

    Raises:
        BusyError: it cannot be read.
    """
    with _reading(path):
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            return file.read(limit)


@contextlib.contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BusyError(f"cannot read {path!r}: {error.strerror}", hint="check the file's permissions") from error
