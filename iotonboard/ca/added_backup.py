"""CAs that were added to a state, in its backup: each with its database and its keys, in a folder of its name.

They come back with the state, with the same passphrase: whatever is wrong with one keeps no state out of a backup.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from iotonboard.ca.absorption import continue_alone, take_up
from iotonboard.ca.authority import seal_audit, unlock
from iotonboard.ca.backup_manifest import DATABASE, added_file, parts_of_added
from iotonboard.ca.copies import absorb_published
from iotonboard.ca.crl import sign_crls
from iotonboard.disk.files import PRIVATE, create_exclusive, make_private_dir
from iotonboard.disk.reading import read_file
from iotonboard.errors import ConflictError, IotOnboardError, PolicyError, StateError
from iotonboard.model import whole_seconds
from iotonboard.state.added_cas import first_ca_is, paths_within, state_within, told_cas
from iotonboard.state.changes import believe_clock
from iotonboard.state.foreign_lists import signer_of
from iotonboard.store.damage import damage_of
from iotonboard.store.issuers import current_issuers
from iotonboard.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from iotonboard.ca.backup_archive import BackupArchive
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.state import State


def files_of_added(cas: Opened, prefix: str, left_out: list[str]) -> dict[str, str | bytes]:
    """What goes into the archive of the added CAs: name -> a copy of a database, or the content of a key.

    The copies begin with ``prefix``, and are the caller's to delete. What cannot be read is told in ``left_out``.
    """
    found: dict[str, str | bytes] = {}
    for name in cas.names:
        copy = f"{prefix}-{name}.db"
        try:
            added = cas.state(name)
            create_exclusive(copy, b"")
            added.store.copy_to(copy)
            rows = current_issuers(added.store)
            keys = {row.key_file: read_file(os.path.join(added.paths.certs, row.key_file)) for row in rows}
        except IotOnboardError as error:
            left_out.append(f"the CA {name!r}: {error.message}")
            continue
        found |= {added_file(name, DATABASE): copy, **{added_file(name, key): content for key, content in keys.items()}}
    return found


@contextlib.contextmanager
def added_of_backup(
    archive: BackupArchive, state: State, copied: list[str], left_out: list[str]
) -> Iterator[dict[str, State]]:
    """The added CAs of a backup, written where they belong beside its ``state``, and opened; each proved whole.

    ``copied`` gets the name of each file before it is written; what did not come back is told in ``left_out``.

    Raises:
        PolicyError: the backup holds a CA that its state does not know.
        ConflictError: another database lies where one would.
        StateError: a database in it is damaged, or another CA's.
        BusyError: the disk refuses.
    """
    told, parts = told_cas(state), parts_of_added(archive.names)
    if unknown := parts.keys() - told.keys():
        raise PolicyError(
            f"the backup holds the CA {min(unknown)!r}, which it does not know", hint="use another copy of it"
        )
    left_out += (f"the CA {name!r}: the backup has none of it" for name in told.keys() - parts.keys())
    with contextlib.ExitStack() as stack:
        found = {}
        for name, files in parts.items():
            _write(archive, state, name, files, copied)
            path = paths_within(state.paths, name).database
            store = Store.open(path, timeout_s=state.config["busy_timeout_seconds"], now=state.clock())
            stack.callback(store.close)
            if (damage := damage_of(store, with_indexes=True)) or not first_ca_is(store, told[name]):
                reason = damage or "it is another CA's"
                raise StateError(f"the database of the CA {name!r} is damaged: {reason}", hint="use an older backup")
            found[name] = state_within(state, name, store)
        yield found


def _write(archive: BackupArchive, state: State, name: str, files: Sequence[str], copied: list[str]) -> None:
    paths = paths_within(state.paths, name)
    for folder in (os.path.dirname(paths.root), paths.root, os.path.dirname(paths.certs), paths.certs, paths.devices):
        make_private_dir(folder)
    if os.path.lexists(paths.database):
        raise ConflictError(f"there is a database {paths.database!r} already", hint="restore into a new folder")
    for file in files:
        path = paths.database if file == DATABASE else os.path.join(paths.certs, file)
        if not os.path.lexists(path):
            copied.append(path)
            archive.extract(added_file(name, file), path, PRIVATE)


def lists_without(crls: Sequence[bytes] | None, added: Mapping[str, State]) -> Sequence[bytes] | None:
    """The lists (DER) that are of none of the added CAs; all, where nothing would be left."""
    return [der for der in crls or () if not any(signer_of(one, der) for one in added.values())] or crls


def go_on(state: State, passphrase: Passphrase, crls: Sequence[bytes] | None, *, accept_clock: bool) -> int:
    """Take up what the lists (DER) of an added CA revoke, and sign the next one; returns how many were new.

    Where none of them is of this CA, its numbers jump.

    Raises:
        KeyUnavailableError: the passphrase does not open its keys.
        PolicyError: the clock cannot be right.
        BusyError: the disk refuses.
    """
    authority = unlock(state, passphrase)
    if accept_clock:
        with state.noting():
            believe_clock(state, whole_seconds(state.clock()))
    own = [der for der in crls or () if signer_of(state, der)] or None
    with state.transaction(signing=True) as now:
        taken_up = absorb_published(state, now) + take_up(state, own, now)
        state.record(now, "restore", detail={"taken_up": taken_up, "crl": own is not None})
        sign_crls(state, authority, now)
        continue_alone(state)
        seal_audit(state, authority)
    return taken_up
