"""What is to be gone: secrets that the policy ``keep_keys`` gives up, keys of retired CAs, and SQLite's log of both.

Each is recorded first and done afterwards; what a crash left is done by the next command. What decides that keys go is
here alone: ``store/secrets.py`` overwrites their rows, and publishing a device's files removes those that it lost.
"""

from __future__ import annotations

import contextlib
import os
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.disk.files import erase_file, sync_dir
from iotonboard.errors import IotOnboardError
from iotonboard.state.clock import SETTLED
from iotonboard.state.places import Place, is_away
from iotonboard.state.publication import ca_is_published, publish, publish_device_files
from iotonboard.store import secrets
from iotonboard.store.issuers import KEYS_TO_ERASE, all_issuers, current_issuers
from iotonboard.store.left_to_do import has_erasures_left
from iotonboard.store.pending import has_pending

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.state.state import State
    from iotonboard.store.secrets import Kept, KeptGroup


def purge(state: State, kept: Kept, now: datetime, why: str) -> None:
    """Erase a certificate's secrets from the database, in the caller's transaction; its files go when published."""
    secrets.add_purge(state.store, kept.serial, now)
    state.record(now, kept.device_id, serial=kept.serial.hex, detail={"purged": why})


def apply_keep_keys(state: State) -> None:
    """Purge what the policy ``keep_keys`` gives up, from where the last call ended.

    Nothing under a disputed clock, nor within a day after one: a key that is gone does not come back with the right
    time. The files go with the next ``publish_device_files``, and SQLite's log of them with ``finish_erasures`` behind
    it.
    """
    policy = str(state.config["keep_keys"])
    if policy == "always" or not state.note_dispute().may_destroy(state.store.moment(SETTLED)):
        return
    mark = f"keep_keys {policy.partition(':')[0]}"
    while group := _due(state, policy, state.store.number(mark) or 0):
        with state.transaction() as now:
            for kept in group.kept:
                if secrets.purged_at(state.store, kept.serial) is None:
                    purge(state, kept, now, policy)
            state.store.set_meta(mark, group.last)


def _due(state: State, policy: str, after: int) -> KeptGroup | None:
    if policy == "until-confirmed":
        return secrets.kept_confirmed(state.store, after)
    days = int(policy.removeprefix("days:"))
    return secrets.kept_before(state.store, after, state.trusted_time() - timedelta(days=days))


def erase_retired_keys(state: State) -> None:
    """Erase the key files of retired CAs, once the CA file is published without them; nothing while its disk is away.

    Raises:
        BusyError: the state is locked or the disk refuses; the next command does it then.
    """
    if not state.store.meta(KEYS_TO_ERASE):
        return
    with state.noting(durable=False):
        if not ca_is_published(state) or is_away(state, Place.CA):
            return
        current = {issuer.key_file for issuer in current_issuers(state.store)}
        for key_file in sorted({issuer.key_file for issuer in all_issuers(state.store)} - current - {""}):
            erase_file(os.path.join(state.paths.certs, key_file))
        sync_dir(state.paths.certs)
        state.store.set_meta(KEYS_TO_ERASE, 0)


def finish_erasures(state: State) -> None:
    """Erase what was recorded as erased and is still there; one look when there is nothing.

    That is also what a purge could not do while a disk was away. Whatever stands in the way of it, a writer or a
    read-only disk, is no obstacle to the command that was called, which may be a revocation: the next one does it then.
    """
    if has_erasures_left(state.store):
        with contextlib.suppress(IotOnboardError), state.store.without_waiting():
            erase_retired_keys(state)
            if has_pending(state.store):
                publish(state, publish_device_files)
            secrets.scrub_log(state.store)
