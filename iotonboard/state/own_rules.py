"""The operator's own rules in the ACL, and who of the devices would get what is written there for a user.

Mosquitto compares names letter by letter. A device's id is unique without regard to case, so a name that differs from
it by that alone is taken for the device too.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from iotonboard.broker import region
from iotonboard.disk.reading import file_mark, read_pieces
from iotonboard.errors import IotOnboardError, PolicyError
from iotonboard.state.places import Place, check_here
from iotonboard.store.devices import device_record, find_device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from iotonboard.broker.region import OperatorUser
    from iotonboard.state.state import State

_HAVE_NO_RIGHTS = frozenset({"retired", "revoked"})


def own_users(path: str) -> dict[str, OperatorUser]:
    """The users of the operator's own rules in an ACL file, by their names in small letters; none where there is none.

    Raises:
        PolicyError: the markers of the managed region are damaged.
        BusyError: it cannot be read.
    """
    return region.operator_users(read_pieces(path)) if os.path.lexists(path) else {}


def devices_among(state: State, users: Iterable[OperatorUser]) -> list[OperatorUser]:
    """Those of the operator's users that are devices of this state, unless they were revoked or retired."""
    return [user for user in users if _has_rights(state, user.name)]


def _has_rights(state: State, name: str) -> bool:
    device = find_device(state.store, name)
    return device is not None and (
        device_record(state.store, device.device_id).status(state.trusted_time()) not in _HAVE_NO_RIGHTS
    )


class OwnRules:
    """The operator's own rules as a long batch or stream meets them: read again whenever the ACL was written.

    ``tell`` is called once where they cannot be read: then nothing is compared.
    """

    def __init__(self, state: State, tell: Callable[[str], object]) -> None:
        self._state, self._tell = state, tell
        self._mark: str | None = None
        self._users: dict[str, OperatorUser] = {}
        self._is_told = False

    def grants(self, device_id: str, *, is_meant: bool) -> bool:
        """Say whether a certificate gives an id what is written for a user, and it has not had that before.

        Raises:
            PolicyError: so it is, and it is not meant; names the line.
        """
        user = self._read().get(device_id.lower())
        if user is None or _has_rights(self._state, user.name):
            return False
        if not is_meant:
            raise PolicyError(
                f"{device_id!r} stands as user {user.name!r} in line {user.line} of {self._state.paths.acl!r}:"
                " the device would get what is written there",
                hint="choose another id; where the lines are meant for the device, say so with --own-rules",
            )
        return True

    def _read(self) -> dict[str, OperatorUser]:
        path = self._state.paths.acl
        mark = file_mark(path)
        if mark != self._mark:
            self._mark, self._users = mark, {}
            try:
                check_here(self._state, Place.ACL)
                self._users = own_users(path)
            except IotOnboardError as error:
                self._say(error.message)
        return self._users

    def _say(self, reason: str) -> None:
        if not self._is_told:
            self._tell(f"warning: no id is compared with the users of the ACL: {reason}")
        self._is_told = True
