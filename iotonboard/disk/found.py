"""Files of one kind on a stick, wherever they lie on it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from iotonboard.disk.walking import no_folder
from iotonboard.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator


def files_below(folder: str, ending: str) -> Iterator[str]:
    """The files in and below a folder whose names end so, in whatever case. No link is followed.

    What begins with a dot is the system's own: a Mac leaves ``._NAME`` beside each file.

    Raises:
        NotFoundError: a folder cannot be read, or there is none.
    """

    def refuse(error: OSError) -> None:
        reason = f"cannot read {error.filename!r}: {error.strerror}" if os.path.isdir(folder) else no_folder(folder)
        raise NotFoundError(reason, hint="plug the stick in again, and name its folder") from None

    for at, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.lower().endswith(ending) and not name.startswith("."):
                yield os.path.join(at, name)
