"""``restore --check``: try a backup, file by file, without a trace: it is unpacked into a folder that goes again.

1. The archive is authenticated as a whole, and every file in it is read through.
2. Database, keys and settings are unpacked: the database is read through, its trail proved, and held against what the
   backup says about itself; the passphrase opens every CA key, each belongs to its certificate, and the vault opens.
Nothing is signed, and nothing written where it could stay.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.ca.added_backup import added_of_backup
from iotonboard.ca.authority import unlock
from iotonboard.ca.backup_archive import damaged_files, open_archive, open_unsealed_archive, refuse_no_backup
from iotonboard.ca.backup_manifest import refuse_other_contents
from iotonboard.ca.backup_opener import Secret, find_secret
from iotonboard.ca.unpacking import bring_back_brokers, refuse_plain_keys, unpack
from iotonboard.disk.files import make_private_dir
from iotonboard.errors import KeyUnavailableError, PolicyError, StateError
from iotonboard.health.trail_check import check_trail
from iotonboard.state.held_settings import REACHING_OUT, hold_back
from iotonboard.state.state import State
from iotonboard.store.damage import damage_of
from iotonboard.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from iotonboard.ca.backup_archive import BackupArchive
    from iotonboard.ca.backup_manifest import Contents, StoredFile
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.ca.token_uri import TokenUri
    from iotonboard.model import Caller
    from iotonboard.state.held_settings import Held


@dataclass(frozen=True, slots=True)
class Checked:
    """A backup that is whole. ``lacking``: settings that could not hold on this machine, with the reason.

    ``left_out``: what a restore would not bring back, in words.
    """

    version: str
    contents: Contents
    files: tuple[StoredFile, ...]
    lacking: tuple[Held, ...]
    left_out: tuple[str, ...]


def check_backup(
    scratch: str,
    path: str,
    caller: Caller,
    clock: Callable[[], datetime],
    ask_passphrase: Callable[[], Passphrase],
    *,
    is_sealed: bool,
    plain_keys: bool,
    token: TokenUri | None = None,
) -> Checked:
    """Try a backup; ``scratch`` is an empty folder that the caller deletes. ``token``: as in ``restore.Request``.

    Raises:
        UsageError: there is no such backup.
        KeyUnavailableError: the passphrase does not open it, or a CA key in it.
        PolicyError: it is damaged, was changed, or is no backup.
        StateError: its database is damaged.
        BusyError: it cannot be read, or the scratch folder's disk is full.
    """
    refuse_no_backup(path, is_sealed=is_sealed)
    given, root = ask_passphrase(), os.path.join(scratch, "state")
    secret = find_secret(path, token, given) if is_sealed else Secret(given, given)
    make_private_dir(root)
    with _open(path, secret.archive, is_sealed=is_sealed) as archive:
        for one in archive.manifest.files:
            archive.try_file(one.name)
        if not plain_keys:
            refuse_plain_keys(archive)
        unpacked = unpack(archive, root, {}, (), [], clock())
        store = Store.open(unpacked.staged, timeout_s=1, now=clock())
        try:
            _prove(store)
            refuse_other_contents(archive.manifest, store)
            state = State(unpacked.paths, unpacked.settings, store, caller, clock)
            secret.settle(state)
            unlock(state, secret.state)
            brokers = bring_back_brokers(archive, store, unpacked.paths, [], plain_keys=plain_keys)
            with added_of_backup(archive, state, [], brokers) as added:
                for ca in added.values():
                    _prove(ca.store)
                    unlock(ca, secret.state)
        finally:
            store.close()
        manifest = archive.manifest
    lacking = hold_back(root, {one.key: one.value for one in unpacked.held}, REACHING_OUT)
    return Checked(manifest.version, manifest.contents, manifest.files, tuple(lacking), (*unpacked.left_out, *brokers))


@contextlib.contextmanager
def _open(path: str, passphrase: Passphrase, *, is_sealed: bool) -> Iterator[BackupArchive]:
    """Open a backup; one that is not what was sealed is looked through, to name the files that are damaged."""
    with contextlib.ExitStack() as stack:
        try:
            archive = stack.enter_context((open_archive if is_sealed else open_unsealed_archive)(path, passphrase))
        except PolicyError as error:
            raise (_named(path, passphrase, error) if is_sealed else error) from None
        yield archive


def _named(path: str, passphrase: Passphrase, error: PolicyError) -> PolicyError:
    with contextlib.suppress(PolicyError, KeyUnavailableError):
        if found := damaged_files(path, passphrase):
            return PolicyError(f"{error.message}; damaged in it: {', '.join(map(repr, found))}", hint=error.hint)
    return error


def _prove(store: Store) -> None:
    if damage := damage_of(store, with_indexes=True):
        raise StateError(f"the database of the backup is damaged: {damage}", hint="use an older backup")
    verdict = check_trail(store)
    if verdict.problem:
        raise StateError(f"the backup's audit trail is broken: {verdict.problem}", hint="use an older backup")
