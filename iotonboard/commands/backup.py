"""``backup``: one encrypted file that holds the whole state, made while other commands go on.

1. The place is looked at, then the passphrase is asked for: the same one opens the backup.
2. The backup is recorded, and the trail sealed, so that the copy says that it was made.
3. A consistent copy of the database is made beside it, described, and put into the archive with key, settings and ACL.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard import __version__
from iotonboard.ca.authority import seal_audit, unlock
from iotonboard.ca.backup_archive import ACL, CONFIG, DATABASE, write_archive
from iotonboard.errors import BusyError
from iotonboard.files import create_exclusive, refuse_existing, remove_file
from iotonboard.health.trail_check import check_trail
from iotonboard.model import to_epoch
from iotonboard.permissions import TAKEN_HINT
from iotonboard.store.crls import crl_generation
from iotonboard.store.devices import count_devices
from iotonboard.store.issuers import current_issuers
from iotonboard.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.state.state import State

_COPY_PREFIX, _COPY_SUFFIX = ".backup-", ".db"
_COPY_IS_OLD_S = 24 * 3600  # what a killed backup left behind; no backup takes a day


@dataclass(frozen=True, slots=True)
class Result:
    """The backup that was made."""

    path: str
    sha256: str
    devices: int
    crl_number: int
    audit_seq: int


@dataclass(frozen=True, slots=True)
class _Contents:
    """What a copy of the database holds, with the names of the CA keys that belong to it."""

    devices: int
    crl_number: int
    audit_seq: int
    keys: tuple[str, ...]


def back_up(state: State, path: str, ask_passphrase: Callable[[], Passphrase], *, noise: bytes) -> Result:
    """Write one consistent, encrypted file while other commands go on; ``noise`` are 16 random octets.

    Raises:
        ConflictError: something is at ``path`` already.
        KeyUnavailableError: the passphrase does not open the CA key.
        BusyError: the disk refuses, or a CA was retired meanwhile; no partial file is left.
    """
    refuse_existing(path, hint=TAKEN_HINT)
    passphrase = ask_passphrase()
    opened = unlock(state, passphrase)
    with state.transaction() as now:
        state.store.set_meta("last_backup", to_epoch(now))
        state.record(now, "backup", detail={"path": os.path.abspath(path)})
        seal_audit(state, opened)
    _sweep_copies(state.paths.root, now)
    copy = os.path.join(state.paths.root, f"{_COPY_PREFIX}{noise.hex()}{_COPY_SUFFIX}")
    try:
        create_exclusive(copy, b"")
        state.store.copy_to(copy)
        found = _describe(copy, now)
        manifest = {
            "schema": 1,
            "version": __version__,
            "devices": found.devices,
            "crl_number": found.crl_number,
            "audit_seq": found.audit_seq,
            "keys": list(found.keys),
        }
        write_archive(path, _files(state, copy, found.keys), manifest, passphrase, salt=noise)
    finally:
        for suffix in ("", "-wal", "-shm"):
            remove_file(copy + suffix)
    return Result(path, _sha256(path), found.devices, found.crl_number, found.audit_seq)


def _sweep_copies(root: str, now: datetime) -> None:
    for entry in os.scandir(root):
        is_copy = entry.name.startswith(_COPY_PREFIX) and entry.name.endswith(_COPY_SUFFIX)
        if is_copy and entry.stat(follow_symlinks=False).st_mtime < now.timestamp() - _COPY_IS_OLD_S:
            remove_file(entry.path)


def _describe(copy: str, now: datetime) -> _Contents:
    """Read what the copy holds from the copy itself, since the state may have moved on."""
    store = Store.open(copy, timeout_s=1, now=now)
    try:
        crls = crl_generation(store, with_der=False)
        number = max((row.number for row in crls if row.issuer == crls[0].issuer), default=0)
        keys = tuple(row.key_file for row in current_issuers(store))
        return _Contents(count_devices(store), number, check_trail(store).rows, keys)
    finally:
        store.close()


def _files(state: State, copy: str, keys: tuple[str, ...]) -> dict[str, str]:
    wanted = {DATABASE: copy, CONFIG: state.paths.config, ACL: state.paths.acl}
    files = {name: path for name, path in wanted.items() if os.path.exists(path)}
    for name in keys:
        files[name] = os.path.join(state.paths.certs, name)
        if not os.path.exists(files[name]):
            raise BusyError("a CA was retired while the backup was made", hint="run the command again")
    return files


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
