"""``purge``: erase key, salt and bundle everywhere; certificate and record stay.

1. Record, and erase from the database: all devices that are named or none, or in groups whatever is old enough.
   The files of each group go before it is answered. Where their disk is away they stay noted, for the next command.
2. Purge what the policy ``keep_keys`` gives up, too.
3. Publish: deliveries end, SQLite's log is emptied of what was erased.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.state.erasure import apply_keep_keys
from iotonboard.state.erasure import purge as purge_secrets
from iotonboard.state.publication import publish, publish_device_files, refuse_unpublished, settle_deliveries
from iotonboard.store.devices import device_named, device_record
from iotonboard.store.pending import has_pending_of
from iotonboard.store.secrets import kept_before, kept_of, purged_at, scrub_log

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from iotonboard.errors import Unpublished
    from iotonboard.model import SerialNumber
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Purged:
    """One device and the certificates whose secrets were erased now; none when they were gone before.

    ``is_finished``: its files are gone too. Else their disk is away, or refuses: the next command erases them.
    ``young``: certificates whose secrets stay because they were made later than was asked for.
    """

    device_id: str
    serials: tuple[SerialNumber, ...]
    purged_at: datetime
    is_finished: bool = True
    young: tuple[SerialNumber, ...] = ()


@dataclass(frozen=True, slots=True)
class StillLogged:
    """Another command reads the database: SQLite's log is emptied of what was erased by the next command."""


def purge(state: State, device_ids: Sequence[str], *, older_than: int | None) -> Iterator[Purged | StillLogged]:
    """Erase the secrets of devices, or of all devices when none is named; yields each once that is durable.

    ``older_than``: only of certificates that were made so many days ago or earlier.

    Raises:
        NotFoundError: a device is not there; nothing was erased.
        PolicyError: ``older_than`` was given and the clock cannot be right: it does not tell what is old.
        UnpublishedError: files could not be erased.
        BusyError: the state is locked or the disk refuses.
    """
    if older_than is not None and (dispute := state.read_clock().dispute):
        raise dispute
    groups = iter([_purge_named(state, device_ids, older_than)]) if device_ids else _purge_old(state, older_than or 0)
    unpublished: list[Unpublished] = []
    for group in groups:
        refused = publish(state, publish_device_files)
        unpublished = unpublished or refused
        for one in group:
            yield replace(one, is_finished=not (refused and has_pending_of(state.store, one.device_id)))
    apply_keep_keys(state)
    unpublished = publish(state, publish_device_files, settle_deliveries) or unpublished
    is_gone = scrub_log(state.store)
    refuse_unpublished(unpublished)
    if not is_gone:
        yield StillLogged()


def _purge_named(state: State, device_ids: Sequence[str], older_than: int | None) -> list[Purged]:
    """In one transaction: a device that is unknown stops it before anything is erased."""
    with state.transaction() as now:
        devices = dict.fromkeys(device_named(state.store, device_id).device_id for device_id in device_ids)
        return [_purge(state, device_id, now, older_than) for device_id in devices]


def _purge(state: State, device_id: str, now: datetime, older_than: int | None) -> Purged:
    """Without ``older_than`` all of it, whatever the clock says."""
    kept, made = kept_of(state.store, device_id), device_record(state.store, device_id).certificates
    moment = None if older_than is None else now - timedelta(days=older_than)
    young = {one.serial for one in made if moment is not None and one.created_at > moment}
    due = [one for one in kept if one.serial not in young]
    for one in due:
        purge_secrets(state, one, now, "asked for")
    left = tuple(one.serial for one in kept if one.serial in young)
    return Purged(device_id, tuple(one.serial for one in due), now, young=left)


def _purge_old(state: State, older_than: int) -> Iterator[list[Purged]]:
    """In groups, since there may be millions."""
    after, moment = 0, state.trusted_time() - timedelta(days=older_than)
    while group := kept_before(state.store, after, moment):
        after = group.last
        if not group.kept:
            continue
        with state.transaction() as now:
            for kept in group.kept:
                if purged_at(state.store, kept.serial) is None:
                    purge_secrets(state, kept, now, "asked for")
        yield [Purged(kept.device_id, (kept.serial,), now) for kept in group.kept]
