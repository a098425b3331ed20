"""``sync-acl``: bring ``mosquitto.acl`` to what the database says, or tell whether it differs.

1. Compare the file's managed region with the database, under the write lock.
2. Publish: the ACL and everything else, or write another file or style that was asked for; with ``check`` nothing.
3. Reload the broker, where that was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.broker.render import style_warning
from iotonboard.errors import IotOnboardError
from iotonboard.state.acl_file import acl_is_current, mark_acl, tell_edits, write_acl
from iotonboard.state.alone import attempt
from iotonboard.state.denied import read_denied
from iotonboard.state.places import Place, begin_here
from iotonboard.state.publication import EVERYTHING, publish_acl, publish_added, publish_recorded
from iotonboard.state.region_change import refuse_other_copy
from iotonboard.store.devices import count_devices

if TYPE_CHECKING:
    from iotonboard.errors import Unpublished
    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.reload import Reload


@dataclass(frozen=True, slots=True)
class Result:
    """What the ACL holds now; ``changed`` says that it differed before."""

    path: str
    style: str
    devices: int
    revoked: int
    changed: bool
    warning: str = ""


def sync_acl(
    cas: Opened,
    *,
    style: str | None = None,
    out: str | None = None,
    check: bool = False,
    here: bool = False,
    reload: Reload | None = None,
) -> tuple[Result, list[Unpublished]]:
    """Write the ACL's managed region anew when it differs; returns what it holds then, and what is not published.

    With it goes what else is recorded and not published, of the CAs too that were added to the state.

    ``here``: also where nothing of this CA is any more, as it is when a disk is away.

    Raises:
        PolicyError: a topic rule or an operator's own line would break the broker (with ``check``, ``out`` or
            ``style``: else it is told with what is not published); the old file stays.
        ConflictError: another style is asked for where another copy of this state wrote the region, which stays.
        BusyError: the state is locked or its disk refuses.
    """
    state = cas.around
    path = out or state.paths.acl
    is_published = out is None and style is None
    if style is not None and out is None:
        refuse_other_copy(state)
    if here:
        begin_here(state, Place.ACL)
    with state.store.reading() if check else state.noting():
        now = state.trusted_time()
        denied = read_denied(state, now, is_to_tell=True)
        try:
            changed = not acl_is_current(state, path, now, denied, style=style)
        except IotOnboardError:
            if check or not is_published:
                raise
            changed = True  # publishing says what is wrong with it, behind all that it does not stand in the way of
        if changed and is_published and not check:
            mark_acl(state)
        elif changed and not check:
            write_acl(state, path, now, denied, style=style)
    steps = [step for step in EVERYTHING if is_published or step is not publish_acl]
    unpublished = [] if check else publish_recorded(state, *steps) + publish_added(cas)
    unpublished += tell_edits(state, denied.told, unpublished)
    if reload is not None:
        unpublished += attempt("reload", str(state.config["broker.reload"]), reload)
    devices = count_devices(state.store)
    chosen = style or state.config["acl.style"]
    warning = style_warning(devices, state.config["broker.version"]) if chosen == "per-device" else ""
    return Result(path, chosen, devices, len(denied.names), changed, warning), unpublished
