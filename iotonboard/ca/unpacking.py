"""From an open backup to the files of a state, in a folder of its own; nothing that is there is replaced.

Until ``put_in_place`` the database lies under another name, so a state that is not whole is never taken for one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from iotonboard.ca.backup_manifest import (
    ACL,
    BROKER_FILES,
    CONFIG,
    DATABASE,
    is_broker_file,
    is_ca_key,
    is_key_of_added,
)
from iotonboard.ca.ca_key import load_ca_key
from iotonboard.disk.entries import STAGING_PREFIX, STAGING_SUFFIX
from iotonboard.disk.files import (
    PRIVATE,
    PUBLIC,
    create_exclusive,
    make_private_dir,
    move_file,
    remove_file,
    write_atomic,
)
from iotonboard.disk.reading import read_file
from iotonboard.errors import BusyError, ConflictError, KeyUnavailableError, PolicyError
from iotonboard.pki.keys import load_key, public_key_matches
from iotonboard.state.config import (
    FILE_NAME,
    NO_FILE,
    Config,
    FileContent,
    Recorded,
    database_path,
    resolve,
    with_checked_profiles,
)
from iotonboard.state.held_settings import hold_back, is_inside, split_environment
from iotonboard.state.layout import resolve_paths
from iotonboard.state.recorded_settings import read_recorded, read_settings
from iotonboard.state.setting_table import SETTINGS
from iotonboard.state.settings_file import write_settings_file
from iotonboard.state.settings_seal import holds, seal_settings
from iotonboard.store.certificates import broker_certificates, broker_hosts
from iotonboard.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from iotonboard.ca.backup_archive import BackupArchive
    from iotonboard.disk.permissions import Placement
    from iotonboard.state.held_settings import Held
    from iotonboard.state.layout import Paths
    from iotonboard.state.settings_seal import Sign
    from iotonboard.state.state import State

# Stands in a folder that is being filled, and names the database that makes a state of it once that is known. Swept
# like whatever an interrupted command left.
_MARK: Final = f"{STAGING_PREFIX}restoring{STAGING_SUFFIX}"
_CONFIG_OF_BACKUP = "iotonboard.toml.from-backup"
_PLAIN_KEY = BROKER_FILES[1]


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What came out of a backup. ``staged`` is the database, as long as it is not ``put_in_place``.

    ``settings`` are those of the new state, ``values`` those of them that are not default, and ``before`` those that
    the database of the backup has. ``held``: which of these were not taken over. ``ignored``: variables of the
    environment that were not followed. ``left_out``: what else did not come back, in words.
    """

    paths: Paths
    settings: Config
    before: Config
    values: Mapping[str, Any]
    environment: Mapping[str, str]
    staged: str
    held: tuple[Held, ...]
    ignored: tuple[str, ...]
    left_out: tuple[str, ...]


@contextlib.contextmanager
def new_folder(root: str) -> Iterator[list[str]]:
    """Make the folder of a new state; when the block fails, all in it goes, and the files that the yielded list names.

    Raises:
        ConflictError: there is something already, other than what an interrupted restore left.
        BusyError: the disk refuses.
    """
    mark = os.path.join(root, _MARK)
    if os.path.isfile(mark) and not os.path.lexists(os.fsdecode(read_file(mark))):
        _clear(root)
    if os.path.lexists(root) and (not os.path.isdir(root) or os.listdir(root)):
        raise ConflictError(f"{root!r} is not empty", hint="restore into a new folder: name one with --state")
    is_made = not os.path.isdir(root) and make_private_dir(root)
    copied: list[str] = []
    try:
        create_exclusive(mark, b"")
        yield copied
    except BaseException:
        for path in copied:  # some may lie outside of the folder
            with contextlib.suppress(BusyError):
                remove_file(path)
        _clear(root)
        if is_made:
            with contextlib.suppress(OSError):
                os.rmdir(root)
        raise


def _clear(root: str) -> None:
    """Delete what is in a folder, its mark last."""
    for entry in sorted(os.scandir(root), key=lambda one: one.name == _MARK):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            with contextlib.suppress(BusyError):
                remove_file(entry.path)


def refuse_plain_keys(archive: BackupArchive) -> None:
    """Refuse a backup with a CA key that anybody can use who reads its file.

    Raises:
        PolicyError: there is one.
    """
    for name in (one for one in archive.names if is_ca_key(one) or is_key_of_added(one)):
        with contextlib.suppress(KeyUnavailableError):
            load_ca_key(archive.read(name), None)
            raise PolicyError(
                f"the CA key {name!r} of the backup is not encrypted",
                hint="where you know why, --plain-keys takes it; then type: iotonboard ca passwd",
            )


def unpack(
    archive: BackupArchive,
    root: str,
    environment: Mapping[str, str],
    wanted: Collection[str],
    copied: list[str],
    now: datetime,
) -> Unpacked:
    """Write database, keys and ACL of a backup where they belong, each noted in ``copied`` first.

    ``wanted`` are the settings that may reach out of ``root``. A key or ACL that is there already stays.

    Raises:
        ConflictError: another database lies where this one's would.
        PolicyError: a file is not what the manifest says.
        BusyError: the disk refuses.
    """
    followed, ignored = split_environment(environment, wanted)
    file = read_settings(archive.read(CONFIG)) if CONFIG in archive.names else NO_FILE
    place = resolve(file, followed, Recorded())["database_url"]
    if hold_back(root, {"database_url": place}, wanted):
        place = SETTINGS["database_url"].default
    database = database_path(root, place)
    staged = f"{database}.restoring"
    if os.path.lexists(database):
        raise ConflictError(
            f"there is a database {database!r} already",
            hint="leave out --in-place and --take database_url: then it comes into the state's own folder",
        )
    _make_folders(root, os.path.dirname(database))
    _bring_back(archive, DATABASE, staged, copied)
    before = _settings_in(staged, file, now)
    given = {key: one.value for key, one in before.standing.items() if one.value != SETTINGS[key].default}
    held = hold_back(root, given, wanted)
    values = {key: value for key, value in given.items() if key not in {one.key for one in held}}
    settings = resolve(FileContent(values), followed, Recorded())
    paths = resolve_paths(root, settings)
    left_out = _lay_settings(archive, root, file, before.differing, is_as_it_was=not held and not before.differing)
    for folder in {paths.certs, *map(os.path.dirname, (paths.acl, paths.crl, paths.ca_for_broker))}:
        _make_folders(root, folder)
    keys = {name: os.path.join(paths.certs, name) for name in archive.names if is_ca_key(name)}
    for name, path in {ACL: paths.acl, **keys}.items():
        _bring_back(archive, name, path, copied)
    return Unpacked(paths, settings, before, values, followed, staged, tuple(held), ignored, left_out)


def _settings_in(database: str, file: FileContent, now: datetime) -> Config:
    """The settings of a database, as far as its CAs signed them, and of the file beside it, without an environment."""
    store = Store.open(database, timeout_s=1, now=now)
    try:
        recorded = read_recorded(store, holds)
        return resolve(with_checked_profiles(file, recorded), {}, recorded)
    finally:
        store.close()


def _lay_settings(
    archive: BackupArchive, root: str, file: FileContent, differing: Sequence[str], *, is_as_it_was: bool
) -> tuple[str, ...]:
    """Write ``iotonboard.toml`` where it stays as it was, else beside the one that is still to be written."""
    if CONFIG not in archive.names:
        return ()
    path = os.path.join(root, FILE_NAME if is_as_it_was and not file.problems else _CONFIG_OF_BACKUP)
    create_exclusive(path, archive.read(CONFIG))
    if file.problems:
        return (f"{CONFIG!r}, which cannot be read: {file.problems[0].message}; it lies in {path!r}",)
    if differing:
        return (f"what {CONFIG!r} says of {', '.join(differing)}: it was not in force; the file lies in {path!r}",)
    return ()


def write_settings(state: State, unpacked: Unpacked, now: datetime, sign: Sign) -> None:
    """Seal the settings of the new state, in the caller's transaction, and write the view of them."""
    seal_settings(replace(state, config=unpacked.before), unpacked.values, now, sign)
    if not os.path.lexists(state.paths.config):
        write_settings_file(state, unpacked.values, named=())


def _make_folders(root: str, folder: str) -> None:
    """Make a folder below ``root``, with those on the way; elsewhere it has to be there."""
    root = os.path.abspath(root)
    below = os.path.relpath(folder, root).split(os.sep) if is_inside(root, folder) else []
    for depth in range(1, len(below) + 1):
        make_private_dir(os.path.join(root, *below[:depth]))


def _bring_back(
    archive: BackupArchive, name: str, path: str, copied: list[str], placement: Placement = PRIVATE
) -> None:
    if name in archive.names and not os.path.lexists(path):
        copied.append(path)
        archive.extract(name, path, placement)


def bring_back_brokers(
    archive: BackupArchive, store: Store, paths: Paths, copied: list[str], *, plain_keys: bool
) -> list[str]:
    """Write what brokers' folders held beside what the database knows; returns what did not come back, in words.

    Raises:
        PolicyError: there are files of a broker that the database does not know.
    """
    left_out, known = [], set[str]()
    for host in sorted(broker_hosts(store)):
        folder = paths.broker(host).path
        for name in BROKER_FILES:
            stored, path = f"brokers/{os.path.basename(folder)}/{name}", os.path.join(folder, name)
            known.add(stored)
            if name == _PLAIN_KEY and stored in archive.names and not plain_keys:
                left_out.append(f"{stored!r}: a key in the clear comes back with --plain-keys alone")
            elif name == _PLAIN_KEY and stored in archive.names and not _is_key_of(archive.read(stored), store, host):
                left_out.append(f"{stored!r}: not the key of that broker's certificate")
            elif stored in archive.names:
                _make_folders(os.path.dirname(paths.certs), folder)
                _bring_back(archive, stored, path, copied, PRIVATE if name == _PLAIN_KEY else PUBLIC)
            elif name != _PLAIN_KEY or not archive.is_sealed:  # format 1 had neither; a plain key may never have been
                left_out.append(f"{stored!r}: the backup has none; 'iotonboard broker issue {host}' writes one")
    if unknown := set(filter(is_broker_file, archive.names)) - known:
        raise PolicyError(
            f"the backup holds {min(unknown)!r}, of a broker that it does not know", hint="use another copy"
        )
    return left_out


def _is_key_of(content: bytes, store: Store, host: str) -> bool:
    """Say whether a plain key is that of a broker's newest certificate."""
    try:
        return public_key_matches(broker_certificates(store, host)[0].der, load_key(content, None))
    except (KeyUnavailableError, PolicyError):
        return False


def put_in_place(unpacked: Unpacked) -> None:
    """Give the database its name: from here on there is a state, and an interruption leaves what is finished later.

    Raises:
        BusyError: the disk refuses.
    """
    mark = os.path.join(unpacked.paths.root, _MARK)
    write_atomic(mark, os.fsencode(unpacked.paths.database))
    move_file(unpacked.staged, unpacked.paths.database)
    remove_file(mark)
