"""Writing the file of a backup. It takes its name once it was sealed, read back from the disk, and found whole."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
from typing import TYPE_CHECKING

import pyzipper

from iotonboard.ca.backup_archive import open_archive
from iotonboard.ca.backup_manifest import MANIFEST, Manifest, StoredFile
from iotonboard.ca.backup_seal import derive_keys, seal_file, unsealed_comment
from iotonboard.disk.files import PRIVATE, refuse_existing, remove_file, replacing, sync_together
from iotonboard.errors import BusyError, IotOnboardError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from typing import BinaryIO

    from iotonboard.ca.backup_seal import Keys
    from iotonboard.ca.passphrase import Passphrase

    Source = str | bytes  # a path, or the content
_CHUNK = 1 << 20


def write_archive(
    path: str,
    sources: Mapping[str, Source],
    describe: Callable[[tuple[StoredFile, ...]], Manifest],
    passphrase: Passphrase,
    now: datetime,
    *,
    salt: bytes,
    opener: bytes = b"",
) -> None:
    """Write ``sources``, name in the archive -> where it is, behind their manifest; ``salt`` has 16 octets.

    ``opener`` stands at its end, in the clear, and finds the passphrase again where nobody knows it.

    Raises:
        ConflictError: something came into being at ``path`` meanwhile.
        BusyError: the disk refuses, or does not give back what was written; no partial file is left.
    """
    keys = derive_keys(passphrase, salt)
    manifest = describe(tuple(_stored(name, source) for name, source in sources.items()))

    is_whole = False

    def finish(staged: str) -> None:
        nonlocal is_whole
        seal_file(staged, keys)
        for error in sync_together([staged]).values():
            raise error
        _read_back(staged, path, keys)
        refuse_existing(path, hint="choose another name for the backup")
        is_whole = True

    try:
        with replacing(path, PRIVATE, finish=finish) as file, _told_once():
            _write_zip(file, {MANIFEST: manifest.to_json(), **sources}, unsealed_comment(salt, keys, opener), keys, now)
    except BaseException:
        if is_whole:  # it took its name, and the folder refused to make that last
            remove_file(path)
        raise


def _stored(name: str, source: Source) -> StoredFile:
    digest, size = hashlib.sha256(), 0
    with _open(source) as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
            size += len(piece)
    return StoredFile(name, size, digest.hexdigest())


def _open(source: Source) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")


def _write_zip(file: BinaryIO, sources: Mapping[str, Source], comment: bytes, keys: Keys, now: datetime) -> None:
    # Not the times of the files: a ZIP's begin in 1980 and end in 2107, and a disk's may be anything.
    date = now.timetuple()[:6] if 1980 <= now.year <= 2107 else (1980, 1, 1, 0, 0, 0)
    with pyzipper.AESZipFile(file, "w", pyzipper.ZIP_DEFLATED, encryption=pyzipper.WZ_AES) as archive:
        archive.setpassword(keys.password)
        archive.comment = comment
        for name, source in sources.items():
            info = archive.zipinfo_cls(name, date)
            info.compress_type = pyzipper.ZIP_DEFLATED
            info.external_attr = (stat.S_IFREG | 0o600) << 16
            info.file_size = len(source) if isinstance(source, bytes) else os.path.getsize(source)
            with _open(source) as content, archive.open(info, "w") as entry:
                while piece := content.read(_CHUNK):
                    entry.write(piece)


@contextlib.contextmanager
def _told_once() -> Iterator[None]:
    """Say what a disk refused: the library then also complains that it cannot end the archive, and that is raised."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        first: BaseException = error
        while first.__context__ is not None:
            first = first.__context__
        if not isinstance(first, OSError):
            raise
        raise first from None


def _read_back(staged: str, path: str, keys: Keys) -> None:
    try:
        with open_archive(staged, keys) as written:
            for one in written.manifest.files:
                written.try_file(one.name)
    except IotOnboardError as error:
        raise BusyError(
            f"{path!r} was written and could not be read back: {error.message}",
            hint="that disk does not keep what is written to it: make the backup on another one",
        ) from error
