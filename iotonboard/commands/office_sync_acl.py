"""``sync-acl`` at an office: one ACL over the devices of all stations, or whether the file there differs.

1. Derive what the journals tell that were taken since; a new one needs the office's key.
2. Compare the managed region with that.
3. Write ACL, CRL and CA file where they differ, or another file or style that was asked for; with ``check`` nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.broker.render import style_warning
from iotonboard.errors import IotOnboardError
from iotonboard.office.giving import open_given
from iotonboard.office.publishing import publish, put_acl
from iotonboard.store.registry.given_out import count_devices

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.broker.render import Style
    from iotonboard.errors import StateError, Unpublished
    from iotonboard.office.key import OfficeKey
    from iotonboard.office.office import Office


@dataclass(frozen=True, slots=True)
class Result:
    """What the ACL holds now; ``changed`` says that it differed before.

    ``conflicts``: ids that live at several stations. ``unread``: why something newer could not be verified.
    """

    path: str
    style: str
    devices: int
    revoked: int
    changed: bool
    warning: str
    conflicts: tuple[str, ...]
    problems: tuple[tuple[str, IotOnboardError], ...]
    unpublished: tuple[Unpublished, ...]
    unread: StateError | None


def sync_acl(
    office: Office,
    unlock: Callable[[], OfficeKey],
    *,
    style: Style | None = None,
    out: str | None = None,
    check: bool = False,
    here: bool = False,
) -> Result:
    """Write the managed region of the ACL anew when it differs.

    Raises:
        PolicyError: a rule, or an operator's own line, would break the broker (with ``check``, ``out`` or ``style``:
            else it is told with what is not published); the old file stays. Or stations do not agree on patterns.
        StateError: the trail is not believed, or of a trusted station nothing can be verified any more.
        KeyUnavailableError: the office's key does not open.
        BusyError: the disk or the registry refuses.
    """
    path = out or office.place("broker_acl_file")
    is_published = out is None and style is None
    with open_given(office, unlock) as given:
        acl = given.acl(style)
        try:
            changed = not given.acl_is_current(acl, path)
        except IotOnboardError:
            if check or not is_published:
                raise
            changed = True  # publishing says what is wrong with it
        unpublished: list[Unpublished] = []
        if is_published and not check:
            unpublished = publish(office, given, here=here, acl=acl, acl_differs=changed)
        elif changed and not check:
            put_acl(given, acl, path)
        devices = sum(count_devices(given.fleet.registry, one.id) for one in given.fleet.stations)
        warning = style_warning(devices, given.version) if acl.style == "per-device" else ""
        conflicts = sorted({row.device_id for rows in given.denied.conflicts.values() for row in rows})
        return Result(
            path,
            acl.style,
            devices,
            len(given.denied.names),
            changed,
            warning,
            tuple(conflicts),
            (*given.problems, *acl.problems),
            tuple(unpublished),
            next(iter(given.unread.values()), None),
        )
