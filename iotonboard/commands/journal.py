"""``journal``: what happened here since the last journal that the office took, in one file that the CA signs.

1. Look at the place, then unlock the CA.
2. In one transaction: note that it was written, seal the trail, and read what changed.
3. Write the file.

What was written is not taken yet: the next journal begins where this one did, until an order of the office says that it
took more.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard import __version__
from iotonboard.ca.authority import seal_audit
from iotonboard.ca.journal import WRITTEN, point_at, write_journal
from iotonboard.disk.beforehand import refuse_unwritable
from iotonboard.disk.files import PUBLIC, refuse_existing, replacing
from iotonboard.model import to_epoch
from iotonboard.state.office_orders import is_in_trail, standing_orders

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iotonboard.ca.authority import Unlock
    from iotonboard.exchange.journal import JournalHead, TrailPoint
    from iotonboard.state.state import State

SUFFIX = ".journal"


@dataclass(frozen=True, slots=True)
class Request:
    """Where to: a file, or a folder in which it gets a name of its own.

    ``since``: the row of the trail behind which it begins, where that is not the last one that the office took.
    """

    out: str
    since: int | None = None
    is_full: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """The journal; ``size`` in octets, ``left_out`` as in ``ca.journal``."""

    path: str
    head: JournalHead
    size: int
    left_out: Mapping[str, int]


def journal(state: State, request: Request, unlock: Unlock) -> Result:
    """Write a journal.

    Raises:
        KeyUnavailableError: the CA key is missing, or the passphrase does not open it.
        ConflictError: the file exists.
        NotFoundError: the trail has no such row.
        StateError: the trail is not whole.
        PolicyError: the clock cannot be right.
        BusyError: the state is locked or the disk refuses.
    """
    is_folder = os.path.isdir(request.out)
    if not (request.force or is_folder):
        refuse_existing(request.out)
    refuse_unwritable(os.path.join(request.out, SUFFIX) if is_folder else request.out)
    _begin(state, request)  # which refuses, before anybody is asked for a passphrase
    authority = unlock()
    with state.transaction(signing=True) as now:
        since = _begin(state, request)
        state.record(now, "journal", detail={"journal": since.row})
        state.store.set_meta(WRITTEN, to_epoch(now))
        seal_audit(state, authority)
        made = write_journal(state, authority, now, since, __version__)
        name = f"{made.head.key}-{made.head.until.row}{SUFFIX}"
        path = os.path.join(request.out, name) if is_folder else request.out
        if not request.force:
            refuse_existing(path)
    with replacing(path, PUBLIC) as file:
        file.writelines((made.signed.lines(), *made.parts))
        size = file.tell()
    return Result(path, made.head, size, made.left_out)


def _begin(state: State, request: Request) -> TrailPoint:
    """Where the journal begins: behind what the office took, as long as that is in this trail."""
    if request.is_full or request.since is not None:
        return point_at(state.store, 0 if request.is_full else request.since or 0)
    orders = standing_orders(state)
    is_ours = orders is not None and is_in_trail(state, orders.acknowledged)
    return orders.acknowledged if orders and is_ours else point_at(state.store, 0)
