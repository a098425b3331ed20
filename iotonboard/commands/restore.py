"""``restore``: bring a state back from a backup, with every revocation that a CRL of its brokers knows.

1. Place, archive and CRL are looked at, then the passphrase is asked for.
2. The files of the archive are written into the new folder.
3. In one transaction: the trail is proved whole, the numbers of the known CRLs are passed and what they revoke is
   taken up, and new CRLs are signed.
4. CRL, CA file, ACL and device files are published. Whatever fails, nothing is left in the folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.ca.absorption import continue_alone, read_crls, take_up
from iotonboard.ca.authority import seal_audit, unlock
from iotonboard.ca.backup_archive import open_archive
from iotonboard.ca.backup_manifest import ACL, CONFIG, DATABASE, refuse_other_contents
from iotonboard.ca.crl import sign_crls
from iotonboard.errors import ConflictError, StateError, UsageError
from iotonboard.files import make_private_dir, refuse_existing, remove_file
from iotonboard.health.trail_check import check_trail
from iotonboard.state.layout import resolve_paths
from iotonboard.state.publication import EVERYTHING, publish, refuse_unpublished
from iotonboard.state.recorded_settings import load_settings, settings_of
from iotonboard.state.settings_seal import holds
from iotonboard.state.state import State
from iotonboard.store.devices import count_devices
from iotonboard.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from iotonboard.ca.backup_archive import BackupArchive
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.model import Caller


@dataclass(frozen=True, slots=True)
class Request:
    """The backup, and the newest CRL that any broker has.

    What that revokes is taken up and its number passed. ``None``, which must be asked for by name, makes the numbers
    jump instead.
    """

    archive: str
    crl: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """The state that came back. ``taken_up`` counts revocations that the backup did not know."""

    state: str
    devices: int
    taken_up: int
    crl_number: int


def restore(
    root: str,
    environment: Mapping[str, str],
    caller: Caller,
    clock: Callable[[], datetime],
    request: Request,
    ask_passphrase: Callable[[], Passphrase],
) -> Result:
    """Bring a state back into an empty place and sign a CRL that forgets nothing.

    Raises:
        ConflictError: there is something at ``root`` already.
        UsageError: there is no such backup.
        KeyUnavailableError: the passphrase does not open the backup.
        PolicyError: not a backup, or a CRL of another CA.
        StateError: what came out of it is damaged; nothing is left at ``root``.
    """
    if os.path.lexists(root) and (not os.path.isdir(root) or os.listdir(root)):
        raise ConflictError(f"{root!r} is not empty", hint="restore into a new folder, or move the old state away")
    if not os.path.isfile(request.archive):
        raise UsageError(f"there is no backup {request.archive!r}", hint="check the file's name")
    crls = read_crls(request.crl) if request.crl is not None else None
    passphrase = ask_passphrase()
    with _empty_again_on_failure(root) as copied:
        with open_archive(request.archive, passphrase) as archive:
            _extract_all(archive, root, environment, copied)
        with _open(root, environment, caller, clock) as state:
            refuse_other_contents(archive.manifest, state.store)
            opened = unlock(state, passphrase)
            with state.transaction(signing=True) as now:
                taken_up = take_up(state, crls, now)
                state.record(now, "restore", detail={"taken_up": taken_up, "crl": crls is not None})
                row = sign_crls(state, opened, now)[0]
                continue_alone(state)
                seal_audit(state, opened)
            refuse_unpublished(publish(state, *EVERYTHING))
            return Result(state.paths.root, count_devices(state.store), taken_up, row.number)


@contextlib.contextmanager
def _empty_again_on_failure(root: str) -> Iterator[list[str]]:
    """Make the folder; when the block fails, take away what was written there and the files that it lists."""
    made = make_private_dir(root) if not os.path.isdir(root) else False
    copied: list[str] = []
    try:
        yield copied
    except BaseException:
        for path in copied:  # the settings may place them outside of the root
            remove_file(path)
        _clear(root, remove=made)
        raise


def _clear(root: str, *, remove: bool) -> None:
    for entry in os.scandir(root):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            remove_file(entry.path)
    if remove:
        with contextlib.suppress(OSError):
            os.rmdir(root)


def _extract_all(archive: BackupArchive, root: str, environment: Mapping[str, str], copied: list[str]) -> None:
    """Write the files of a backup where its own settings place them, each noted in ``copied`` first."""

    def bring_back(name: str, path: str) -> None:
        refuse_existing(path, hint="move it away, then restore again")
        copied.append(path)
        archive.extract(name, path)

    if CONFIG in archive.names:
        bring_back(CONFIG, os.path.join(root, CONFIG))
    paths = resolve_paths(root, load_settings(root, environment))
    make_private_dir(paths.certs)
    bring_back(DATABASE, paths.database)
    for name in archive.manifest.contents.keys:
        bring_back(name, os.path.join(paths.certs, name))
    if ACL in archive.names:
        bring_back(ACL, paths.acl)


@contextlib.contextmanager
def _open(root: str, environment: Mapping[str, str], caller: Caller, clock: Callable[[], datetime]) -> Iterator[State]:
    """Open what was brought back, once its audit trail is proved whole."""
    settings = load_settings(root, environment)
    paths = resolve_paths(root, settings)
    store = Store.open(paths.database, timeout_s=settings["busy_timeout_seconds"], now=clock())
    try:
        store.keep_log()
        verdict = check_trail(store)
        if verdict.problem:
            raise StateError(f"the backup's audit trail is broken: {verdict.problem}", hint="use an older backup")
        settings = settings_of(store, root, environment, holds)
        yield State(resolve_paths(root, settings), settings, store, caller, clock)
    finally:
        store.close()
