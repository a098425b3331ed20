"""The outbox: bundles below ``outbox/<token>/`` for a limited time.

A delivery is recorded first and written afterwards; its end is recorded first and cleared away afterwards.
A crash in between is finished by the next command.
"""

from __future__ import annotations

import contextlib
import os
import re
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.disk.files import (
    erase_file,
    is_staging,
    make_private_dir,
    remove_empty_dir,
    sweep_staging,
    write_atomic,
)
from iotonboard.disk.reading import read_file
from iotonboard.errors import IotOnboardError
from iotonboard.state.alone import alone
from iotonboard.state.places import Place, check_here, is_away
from iotonboard.store.deliveries import open_deliveries, set_erased, set_outcome, set_written
from iotonboard.store.left_to_do import has_expired_delivery, has_open_delivery

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from iotonboard.errors import Unpublished
    from iotonboard.state.layout import Paths
    from iotonboard.state.state import State
    from iotonboard.store.deliveries import Delivery

BUNDLE = "creds.zip"
_FOLDER_NAME = r"[0-9a-f]{32}"
_MAX_BUNDLE = 1 << 20


def delivery_path(paths: Paths, token: str) -> str:
    """Where a delivery's file lies."""
    return os.path.join(paths.outbox, token, BUNDLE)


def is_exchanged(paths: Paths, delivery: Delivery) -> bool:
    """Say whether another file than the bundle that was handed over lies in the place of an open delivery."""
    path = delivery_path(paths, delivery.token)
    if not delivery.is_written or delivery.outcome or not delivery.token or not os.path.lexists(path):
        return False
    try:
        return os.path.islink(path) or sha256(read_file(path, limit=_MAX_BUNDLE)).digest() != delivery.sha256
    except IotOnboardError:
        return True


def sweep_outbox(state: State) -> None:
    """Clear expired deliveries away, whatever the command; one look when there are none.

    Whatever stands in the way of it, a writer or a read-only disk, is no obstacle to the command that was called, which
    may be a revocation: the next one does it then.
    """
    if has_expired_delivery(state.store, state.trusted_time()):
        with contextlib.suppress(IotOnboardError, OSError), state.store.without_waiting():
            settle(state)


def settle(state: State) -> list[Unpublished]:
    """Record the end of what expired or was taken, then write what waits and clear away what has ended, each alone.

    The ends are committed before a file goes: else one that was cleared away would look as if somebody took it.
    Returns what could not be written or cleared away.

    Raises:
        BusyError: the state is locked or its disk refuses.
        OSError: the outbox cannot be read.
    """
    found = open_deliveries(state.store) if has_open_delivery(state.store) else []
    if not found and not _strangers(state.paths, found):
        return []
    now = state.trusted_time()
    ended = [(delivery, outcome) for delivery in found if (outcome := _outcome(state, delivery, now))]
    if ended:
        with state.transaction() as moment:
            for delivery, outcome in ended:
                set_outcome(state.store, delivery.id, outcome)
                state.record(moment, delivery.device_id, serial=delivery.serial.hex, detail={"delivery": outcome})
    waits = any(delivery.outcome or not delivery.is_written for delivery in found)
    if not ended and not waits and not _strangers(state.paths, found):
        return []
    unsettled: list[Unpublished] = []
    with state.noting():
        still_open = open_deliveries(state.store)
        for delivery in still_open:
            path = delivery_path(state.paths, delivery.token)
            if delivery.outcome:
                unsettled += alone(state, "deliveries", path, partial(_end, state, delivery, now))
            elif not delivery.is_written:
                unsettled += alone(state, "deliveries", path, partial(_write, state, delivery, now))
        for token in _strangers(state.paths, still_open):
            path = delivery_path(state.paths, token)
            unsettled += alone(state, "deliveries", path, partial(_clear, state.paths, token))
    return unsettled


def _end(state: State, delivery: Delivery, now: datetime) -> None:
    _clear(state.paths, delivery.token)
    set_erased(state.store, delivery.id, now)


def _outcome(state: State, delivery: Delivery, now: datetime) -> str:
    """How an open delivery ended, or nothing while it goes on, or waits for the disk that its bundle is on."""
    if delivery.outcome:
        return ""
    if delivery.is_written and not os.path.lexists(delivery_path(state.paths, delivery.token)):
        return "fetched"
    if delivery.expires_at and delivery.expires_at <= now:
        return "expired"
    if not delivery.is_written and _bundle(state.paths, delivery) is None and not is_away(state, Place.CA):
        return "failed"
    return ""


def _bundle(paths: Paths, delivery: Delivery) -> bytes | None:
    """The recorded bundle, as long as the device's folder holds it."""
    try:
        content = read_file(paths.device(delivery.device_id).bundle, limit=_MAX_BUNDLE)
    except IotOnboardError:
        return None
    return content if sha256(content).digest() == delivery.sha256 else None


def _write(state: State, delivery: Delivery, now: datetime) -> None:
    content = _bundle(state.paths, delivery)
    if content is None:
        check_here(state, Place.CA)
        return
    path = delivery_path(state.paths, delivery.token)
    for folder in (state.paths.outbox, os.path.dirname(path)):
        make_private_dir(folder)
    sweep_staging(os.path.dirname(path))
    write_atomic(path, content)
    set_written(state.store, delivery.id, now)


def _clear(paths: Paths, token: str) -> None:
    folder = os.path.dirname(delivery_path(paths, token))
    if os.path.islink(folder) or not os.path.isdir(folder):
        return
    for name in os.listdir(folder):
        if name == BUNDLE or is_staging(name):
            erase_file(os.path.join(folder, name))
    remove_empty_dir(folder)


def _strangers(paths: Paths, known: Iterable[Delivery]) -> list[str]:
    """Folders that no record explains, such as those of a state that was restored."""
    if os.path.islink(paths.outbox) or not os.path.isdir(paths.outbox):
        return []
    tokens = {delivery.token for delivery in known}
    return [name for name in os.listdir(paths.outbox) if re.fullmatch(_FOLDER_NAME, name) and name not in tokens]
