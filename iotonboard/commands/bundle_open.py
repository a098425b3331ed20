"""``bundle open``: from an encrypted bundle to its files, without an archive program and without a state."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.delivery.bundle import CERTIFICATE, MANIFEST
from iotonboard.delivery.bundle_reader import as_printed, check_bundle, open_bundle
from iotonboard.disk.files import create_exclusive, make_private_dir, write_atomic
from iotonboard.disk.reading import read_file
from iotonboard.errors import ConflictError
from iotonboard.pki.pem import pem_decode_all

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_BUNDLE = 1 << 20


@dataclass(frozen=True, slots=True)
class Result:
    """The device that the bundle is for, as its manifest says, its certificate's SHA-256, and its files' names."""

    device_id: str | None
    fingerprint: str
    files: tuple[str, ...]


def extract_bundle(path: str, folder: str, ask_password: Callable[[], str], *, force: bool) -> Result:
    """Decrypt a bundle file, check it against its manifest, and write its files with mode 0600 into ``folder``.

    The folder is made with mode 0700.

    Raises:
        NotFoundError: there is no such file.
        KeyUnavailableError: the password is wrong.
        PolicyError: damaged, or no bundle.
        ConflictError: a file or link is in the way; nothing was written.
        BusyError: the disk refuses.
    """
    content = read_file(path, limit=_MAX_BUNDLE)
    for name in check_bundle(content):
        target = os.path.join(folder, name)
        if os.path.islink(target) or os.path.isdir(target) or (os.path.lexists(target) and not force):
            raise ConflictError(
                f"{target!r} exists already", hint="choose another folder, or --force to replace a file"
            )
    files = open_bundle(content, as_printed(ask_password()))
    make_private_dir(folder)
    for name, octets in files.items():
        target = os.path.join(folder, name)
        if force:
            write_atomic(target, octets)
        else:
            create_exclusive(target, octets)
    fingerprint = sha256(pem_decode_all("CERTIFICATE", files[CERTIFICATE])[0]).hexdigest()
    return Result(json.loads(files[MANIFEST]).get("device_id"), fingerprint, tuple(sorted(files)))
