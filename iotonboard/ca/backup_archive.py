"""Opening what ``backup`` made: a ZIP of AES-256 entries behind their manifest, sealed as a whole.

Of a sealed backup every octet is authentic before one is decrypted, and each file is held against the manifest while
it is read. ``guide/formats.md`` says how to open one without this program.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import struct
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyzipper
from pyzipper import zipfile_aes

from iotonboard.ca.backup_manifest import MANIFEST, Manifest, parse_manifest, refuse_other_files
from iotonboard.ca.backup_seal import (
    SEALED,
    UNSEALED,
    authenticate,
    damaged,
    derive_keys,
    read_tail,
    unsealed_passwords,
    wrong_passphrase,
)
from iotonboard.disk.files import PRIVATE, replacing
from iotonboard.disk.reading import check_file, open_file
from iotonboard.errors import BusyError, IotOnboardError, NotFoundError, PolicyError, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from iotonboard.ca.backup_seal import Keys
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.disk.permissions import Placement

_CHUNK = 1 << 20
_MAX_MANIFEST = 1 << 22
_MOST_FOR_ONE = 100  # octets that one may become, where nothing vouches for a size; a database's become five
_AES_256 = 3  # the format's number for the strength
# What pyzipper raises on octets that it did not write: its own checks, and what lies below them.
_UNREADABLE = (
    pyzipper.BadZipFile, RuntimeError, struct.error, zlib.error, EOFError, ValueError, KeyError, OverflowError,
    MemoryError, AttributeError, TypeError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BackupArchive:
    """An open backup."""

    path: str
    manifest: Manifest
    is_sealed: bool
    _zip: Any = field(repr=False)

    @property
    def names(self) -> frozenset[str]:
        """The names of what is stored."""
        return frozenset(one.name for one in self.manifest.files)

    def read(self, name: str) -> bytes:
        """The content of one small file.

        Raises:
            PolicyError: it is not what the manifest says.
        """
        return b"".join(self._pieces(name))

    def extract(self, name: str, path: str, placement: Placement = PRIVATE) -> None:
        """Write one file to ``path``: what the manifest says, or nothing.

        Raises:
            PolicyError: it is not what the manifest says.
            BusyError: the disk refuses.
        """
        with replacing(path, placement) as target:
            for piece in self._pieces(name):
                target.write(piece)

    def try_file(self, name: str) -> None:
        """Read one file through; errors as ``read``."""
        for _ in self._pieces(name):
            pass

    def _pieces(self, name: str) -> Iterator[bytes]:
        stored = next(one for one in self.manifest.files if one.name == name)
        digest, left = hashlib.sha256(), stored.size
        for piece in _read_entry(self._zip, self.path, name):
            left -= len(piece)
            if left < 0:
                break
            digest.update(piece)
            yield piece
        if left or stored.sha256 not in ("", digest.hexdigest()):
            raise damaged(self.path, f"{name!r} is not what its manifest says")


@contextlib.contextmanager
def open_archive(path: str, secret: Passphrase | Keys) -> Iterator[BackupArchive]:
    """Open a backup, once it was authenticated as a whole; ``secret`` is the passphrase, or what was derived of it.

    Raises:
        NotFoundError: there is no such file.
        KeyUnavailableError: the passphrase does not open it.
        PolicyError: it is damaged, was changed, is no backup, or one of another format.
        BusyError: it cannot be read.
    """
    with _open(path) as file:
        with _reading(path):
            password = authenticate(file, path, read_tail(file, path, SEALED), secret)
        with _open_zip(file, path, [password], SEALED) as archive:
            yield archive


def damaged_files(path: str, passphrase: Passphrase) -> list[str]:
    """The files in a backup whose seal does not hold that are not what its manifest says; nothing of it is believed.

    Empty where they all are: then something was changed around them.

    Raises:
        KeyUnavailableError: the passphrase does not open it.
        PolicyError: it cannot be read even so far.
        BusyError: it cannot be read.
    """
    found = []
    with _open(path) as file:
        with _reading(path):
            tail = read_tail(file, path, SEALED)
            keys = derive_keys(passphrase, tail.salt, tail.iterations)
        with _open_zip(file, path, [keys.password], SEALED) as archive:
            for one in archive.manifest.files:
                try:
                    archive.try_file(one.name)
                except PolicyError:
                    found.append(one.name)
    return found


@contextlib.contextmanager
def open_unsealed_archive(path: str, passphrase: Passphrase) -> Iterator[BackupArchive]:
    """Open a backup of format 1, of which each entry is authentic alone: errors as ``open_archive``.

    Whoever could write it may have left entries out, and given one another's name.
    """
    with _open(path) as file:
        with _reading(path):
            passwords = unsealed_passwords(path, read_tail(file, path, UNSEALED), passphrase)
        with _open_zip(file, path, passwords, UNSEALED) as archive:
            yield archive


@contextlib.contextmanager
def _open_zip(file: BinaryIO, path: str, passwords: Sequence[bytes], format: int) -> Iterator[BackupArchive]:  # noqa: A002
    with contextlib.ExitStack() as stack:
        with _reading(path):
            archive = stack.enter_context(pyzipper.AESZipFile(file))
            entries = _check_entries(path, archive.infolist())
            manifest = parse_manifest(_read_manifest(archive, path, passwords), format, entries)
        yield BackupArchive(path, manifest, format == SEALED, archive)


def refuse_no_backup(path: str, *, is_sealed: bool) -> None:
    """Refuse what ends as no backup of its format does, before a passphrase is asked for.

    Raises:
        NotFoundError: there is no such file, or it is none that can be read.
        PolicyError: it is no backup, or one of another format.
        BusyError: it cannot be read.
    """
    with _open(path) as file, _reading(path):
        read_tail(file, path, SEALED if is_sealed else UNSEALED)


@contextlib.contextmanager
def _open(path: str) -> Iterator[BinaryIO]:
    try:
        check_file(path)
    except NotFoundError as error:
        reason = f"no backup: {error.message}" if os.path.lexists(path) else f"there is no backup {path!r}"
        raise NotFoundError(reason, hint="check the file's name") from None
    with open_file(path) as file:
        if hasattr(os, "posix_fadvise"):  # what was just written is read from the disk, not from memory
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        yield file


def _check_entries(path: str, entries: Sequence[Any]) -> list[tuple[str, int]]:
    """Name and size of every entry behind the manifest; all are encrypted as backups are, before one is decrypted."""
    for entry in entries:
        is_encrypted = entry.flag_bits & 1  # APPNOTE 4.4.4
        if not is_encrypted or (entry.wz_aes_version, entry.wz_aes_strength) != (zipfile_aes.WZ_AES_V2, _AES_256):
            raise damaged(path, f"{quoted(entry.filename)} is not encrypted as backups are")
        if entry.file_size > max(entry.compress_size * _MOST_FOR_ONE, _CHUNK):
            raise damaged(path, f"{quoted(entry.filename)} is said to be larger than it can be")
    names = [(entry.filename, entry.file_size) for entry in entries]
    if not names or names[0][0] != MANIFEST:
        raise damaged(path, "it does not begin with its manifest")
    refuse_other_files([name for name, _ in names])
    return names[1:]


def _read_manifest(archive: Any, path: str, passwords: Sequence[bytes]) -> bytes:
    """Read the manifest with the first password that the format's own check lets pass, which then stays set."""
    for password in passwords:
        archive.setpassword(password)
        try:
            source = archive.open(MANIFEST)
        except NotImplementedError:
            raise
        except RuntimeError:
            continue
        with source:
            content: bytes = source.read(_MAX_MANIFEST + 1)
        if len(content) > _MAX_MANIFEST:
            raise damaged(path, "its manifest is too large")
        return content
    raise wrong_passphrase()


def _read_entry(archive: Any, path: str, name: str) -> Iterator[bytes]:
    with _reading(path), archive.open(name) as source:
        while piece := source.read(_CHUNK):
            yield piece


@contextlib.contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except IotOnboardError:
        raise
    except OSError as error:
        if error.errno in (None, errno.EINVAL):  # a place that is not in the file
            raise damaged(path, "it cannot be read as a ZIP archive") from error
        raise BusyError(f"cannot read {path!r}: {error.strerror}", hint="check the disk and permissions") from error
    except _UNREADABLE as error:
        raise damaged(path, "it cannot be read as a ZIP archive") from error
