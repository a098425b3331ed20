"""The files of a certificate below ``certs/``: certificate, encrypted key and bundle, written from its row."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from iotonboard.files import (
    PRIVATE,
    PUBLIC,
    erase_file,
    make_private_dir,
    sweep_staging,
    sync_dir,
    write_atomic,
    write_first,
)
from iotonboard.pki import pem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.state.layout import Paths
    from iotonboard.store.pending import PendingFiles


def folder_of(paths: Paths, files: PendingFiles) -> str:
    """The folder of the device or broker."""
    return paths.broker(files.name) if files.is_broker else paths.device(files.name)


def write_all(paths: Paths, group: Sequence[PendingFiles]) -> None:
    """Write the files of many certificates, not yet durable; the folders that hold theirs are there.

    Raises:
        BusyError: the disk refuses.
    """
    for files in group:
        write_files(paths, files, durable=False)


def write_files(paths: Paths, files: PendingFiles, *, durable: bool) -> None:
    """Write the files of one certificate, and erase a key or a bundle that it does not have.

    Raises:
        BusyError: the disk refuses.
    """
    folder = folder_of(paths, files)
    stem = "broker" if files.is_broker else "device"
    is_new = make_private_dir(folder)
    if not is_new:
        sweep_staging(folder)
    wanted = [(f"{stem}.crt", pem.pem_encode("CERTIFICATE", files.der), PUBLIC)]
    if files.key_der is not None:
        wanted.append((f"{stem}.key", pem.pem_encode("ENCRYPTED PRIVATE KEY", files.key_der), PRIVATE))
    if files.bundle is not None:
        wanted.append(("creds.zip", files.bundle, PRIVATE))
    for name, content, placement in wanted:
        path = os.path.join(folder, name)
        if is_new and not durable:
            write_first(path, content, placement)
        else:
            write_atomic(path, content, placement, durable=durable, sync_folder=False)
    if durable:
        sync_dir(folder)
    if durable and is_new:
        sync_dir(os.path.dirname(folder))
    for name in {f"{stem}.key", "creds.zip"} - {name for name, _, _ in wanted} if not is_new else ():
        erase_file(os.path.join(folder, name))
