"""What can be said of a file before it is written, and before anything is asked or done for it."""

from __future__ import annotations

import errno
import os

from iotonboard.errors import disk_error


def refuse_unwritable(path: str) -> None:
    """Refuse a file that could not be written: in no folder, or where nobody lets this user write.

    Raises:
        BusyError: it could not be.
    """
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.lexists(path):
        number = 0 if os.access(path, os.W_OK) else errno.EACCES
    elif os.path.isdir(folder):
        number = 0 if os.access(folder, os.W_OK) else errno.EACCES
    else:
        number = errno.ENOTDIR if os.path.lexists(folder) else errno.ENOENT
    if number:
        raise disk_error(OSError(number, os.strerror(number)), path)
