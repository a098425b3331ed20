"""``bundle open``: from an encrypted bundle to its files, without an archive program and without a state."""

from __future__ import annotations

import os

from iotonboard.delivery.bundle_reader import open_bundle
from iotonboard.errors import ConflictError
from iotonboard.files import create_exclusive, make_private_dir, read_file, write_atomic

_MAX_BUNDLE = 1 << 20


def read_bundle(path: str, password: str) -> dict[str, bytes]:
    """Decrypt a bundle file and check it against its manifest.

    Raises:
        KeyUnavailableError: the password is wrong.
        PolicyError: damaged, or no bundle.
        NotFoundError: no such file.
    """
    return open_bundle(read_file(path, limit=_MAX_BUNDLE), password)


def extract(files: dict[str, bytes], folder: str, *, force: bool) -> None:
    """Write a bundle's files with mode 0600 into ``folder``, which is made with mode 0700.

    Raises:
        ConflictError: a file or link is in the way; nothing was written.
        BusyError: the disk refuses.
    """
    make_private_dir(folder)
    for name in files:
        path = os.path.join(folder, name)
        if os.path.islink(path) or os.path.isdir(path) or (os.path.lexists(path) and not force):
            raise ConflictError(f"{path!r} exists already", hint="choose another folder, or --force to replace a file")
    for name, content in files.items():
        path = os.path.join(folder, name)
        if force:
            write_atomic(path, content)
        else:
            create_exclusive(path, content)
