"""``backup``: one encrypted file that holds the whole state, made while other commands go on.

1. The place is looked at, then the passphrase is asked for: the same one opens the backup.
2. That it begins is recorded and sealed, and from then on it counts as failed.
3. A consistent copy of the database is made beside it, described, and put into the archive with keys, settings, ACL and
   the brokers' own files. The archive takes its name once it was read back from its disk.
4. Only then it counts, and is recorded with its digest. A failure is recorded too.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard import __version__
from iotonboard.ca import added_backup, backup_opener
from iotonboard.ca.authority import seal_audit, unlock
from iotonboard.ca.backup_manifest import ACL, BROKER_FILES, CONFIG, DATABASE, Contents, Manifest, contents_of
from iotonboard.ca.backup_writer import write_archive
from iotonboard.disk.files import create_exclusive, refuse_existing, remove_file
from iotonboard.disk.reading import read_file, read_pieces
from iotonboard.errors import BusyError, IotOnboardError, NotFoundError, disk_error
from iotonboard.model import to_epoch
from iotonboard.store.certificates import broker_hosts
from iotonboard.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from iotonboard.ca.authority import Authority
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.state import State

_COPY_PREFIX, _COPY_SUFFIX = ".backup-", ".db"
_COPY_IS_OLD_S = 24 * 3600  # what a killed backup left behind; no backup takes a day
_MAX_FILE = 1 << 30


@dataclass(frozen=True, slots=True)
class Result:
    """The backup that was made. ``left_out``: why something that belongs to the state is not in it.

    ``holds_ca_key``: false where the key of the CA that issues lies in a token.
    """

    path: str
    sha256: str
    contents: Contents
    left_out: tuple[str, ...]
    holds_ca_key: bool


def back_up(cas: Opened, path: str, ask_passphrase: Callable[[], Passphrase], *, noise: bytes) -> Result:
    """Write one consistent, encrypted file while other commands go on; ``noise`` are 16 random octets.

    With the state go the CAs that were added to it.

    Raises:
        ConflictError: something is at ``path`` already.
        KeyUnavailableError: the passphrase does not open the CA key.
        BusyError: the disk refuses, or a CA was retired meanwhile; no partial file is left.
    """
    state = cas.around
    try:
        refuse_existing(path, hint="choose another name for the backup")
        if not os.path.isdir(os.path.dirname(path) or "."):
            raise disk_error(OSError(errno.ENOENT, os.strerror(errno.ENOENT)), path)
        passphrase = ask_passphrase()
        opened = unlock(state, passphrase)
        begun = _begin(state, opened, path)
        result = _write(cas, path, backup_opener.secret_for(state, opened, passphrase), begun, noise)
    except IotOnboardError as error:
        _record_failure(state, path, error)
        raise
    try:
        _record_success(state, opened, begun, result)
    except BusyError as error:
        raise BusyError(
            f"{path!r} is whole, and does not count, because it could not be recorded: {error.message}",
            hint="keep it, and make another one when the state can be written again",
        ) from error
    return result


def _begin(state: State, opened: Authority, path: str) -> datetime:
    """Seal the trail of which the copy is made; a backup that is killed from here on counts as failed."""
    with state.transaction() as now:
        state.store.set_meta("backup_failed", to_epoch(now))
        state.record(now, "backup", detail={"begun": os.path.abspath(path)})
        seal_audit(state, opened)
    return now


def _record_failure(state: State, path: str, error: IotOnboardError) -> None:
    with contextlib.suppress(IotOnboardError), state.transaction() as now:
        state.store.set_meta("backup_failed", to_epoch(now))
        state.record(now, "backup", detail={"path": os.path.abspath(path), "failed": error.message})


def _record_success(state: State, opened: Authority, begun: datetime, made: Result) -> None:
    with state.transaction() as now:
        state.store.set_meta("last_backup", to_epoch(begun))
        state.store.set_meta("backup_failed", 0)
        detail = {"path": os.path.abspath(made.path), "sha256": made.sha256, "audit_seq": made.contents.audit_seq}
        state.record(now, "backup", detail=detail)
        seal_audit(state, opened)


def _write(cas: Opened, path: str, secret: tuple[Passphrase, bytes], now: datetime, noise: bytes) -> Result:
    state, left_out, (passphrase, opener) = cas.around, list[str](), secret
    _sweep_copies(state.paths.root, now)
    prefix = os.path.join(state.paths.root, f"{_COPY_PREFIX}{noise.hex()}")
    copy = f"{prefix}{_COPY_SUFFIX}"
    try:
        create_exclusive(copy, b"")
        state.store.copy_to(copy)
        contents, hosts = _describe(copy, now)
        files: dict[str, str | bytes] = {
            DATABASE: copy,
            **_keys(state, contents),
            **dict(_others(state, hosts, left_out)),
            **added_backup.files_of_added(cas, prefix, left_out),
        }
        describe = functools.partial(Manifest, __version__, contents)
        write_archive(path, files, describe, passphrase, now, salt=noise, opener=opener)
    finally:
        for one in (copy, *(f"{prefix}-{name}{_COPY_SUFFIX}" for name in cas.names)):
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(BusyError):  # a later backup sweeps it away
                    remove_file(one + suffix)
    return Result(path, _sha256(path), contents, tuple(left_out), holds_ca_key=not opener)


def _sweep_copies(root: str, now: datetime) -> None:
    for entry in os.scandir(root):
        is_copy = entry.name.startswith(_COPY_PREFIX) and entry.name.endswith(_COPY_SUFFIX)
        if is_copy and entry.stat(follow_symlinks=False).st_mtime < now.timestamp() - _COPY_IS_OLD_S:
            remove_file(entry.path)


def _describe(copy: str, now: datetime) -> tuple[Contents, list[str]]:
    """Read what the copy holds from the copy itself, since the state may have moved on."""
    store = Store.open(copy, timeout_s=1, now=now)
    try:
        return contents_of(store), broker_hosts(store)
    finally:
        store.close()


def _keys(state: State, contents: Contents) -> dict[str, bytes]:
    try:
        return {name: read_file(os.path.join(state.paths.certs, name)) for name in contents.keys}
    except NotFoundError:
        raise BusyError("a CA was retired while the backup was made", hint="run the command again") from None


def _others(state: State, hosts: list[str], left_out: list[str]) -> Iterator[tuple[str, bytes]]:
    """What else belongs to a state; what cannot be read is told, and keeps no database out of a backup."""
    wanted = {CONFIG: state.paths.config, ACL: state.paths.acl}
    for folder in (state.paths.broker(host).path for host in hosts):
        wanted |= {f"brokers/{os.path.basename(folder)}/{name}": os.path.join(folder, name) for name in BROKER_FILES}
    for name, path in wanted.items():
        if not os.path.lexists(path) and name != ACL:
            continue  # nobody said that it should be there
        try:
            yield name, read_file(path, limit=_MAX_FILE)
        except IotOnboardError as error:
            left_out.append(error.message)


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    for piece in read_pieces(path):
        digest.update(piece)
    return digest.hexdigest()
