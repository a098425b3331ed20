"""``purge``: erase key, salt and bundle everywhere; certificate and record stay."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.state.changes import purge as purge_secrets
from iotonboard.store.devices import device_named, device_record
from iotonboard.store.secrets import kept_before, kept_of, purged_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from iotonboard.model import SerialNumber
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Purged:
    """One device and the certificates whose secrets were erased now; none when they were gone before."""

    device_id: str
    serials: tuple[SerialNumber, ...]
    purged_at: datetime


def purge(state: State, ids: Sequence[str], *, older_than: int | None) -> list[Purged]:
    """Erase the secrets of devices: of all their certificates, or only those made ``older_than`` days ago.

    One transaction for all that are named: an unknown one stops it before anything is erased. The caller publishes,
    which erases the files.

    Raises:
        NotFoundError: a device is not there; nothing was erased.
    """
    with state.transaction() as now:
        devices = dict.fromkeys(device_named(state.store, device_id).device_id for device_id in ids)
        moment = now - timedelta(days=older_than or 0)
        return [_purge(state, device_id, now, moment) for device_id in devices]


def _purge(state: State, device_id: str, now: datetime, moment: datetime) -> Purged:
    young = {one.serial for one in device_record(state.store, device_id).certificates if one.created_at > moment}
    due = [kept for kept in kept_of(state.store, device_id) if kept.serial not in young]
    for kept in due:
        purge_secrets(state, kept, now, "asked for")
    return Purged(device_id, tuple(kept.serial for kept in due), now)


def purge_all(state: State, older_than: int) -> Iterator[Purged]:
    """Erase the secrets of every certificate made ``older_than`` days ago or earlier, in groups."""
    after, moment = 0, state.trusted_time() - timedelta(days=older_than)
    while group := kept_before(state.store, after, moment):
        after = group.last
        if not group.kept:
            continue
        with state.transaction() as now:
            for kept in group.kept:
                if purged_at(state.store, kept.serial) is None:
                    purge_secrets(state, kept, now, "asked for")
        yield from (Purged(kept.device_id, (kept.serial,), now) for kept in group.kept)
