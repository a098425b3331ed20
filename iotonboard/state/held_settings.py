"""Settings of a backup that reach out of the restored state: taken over when they are asked for by name, else told.

Where ACL, CRL, CA files and database lie, whose the published files are, and how the broker is reloaded: on another
machine, or beside the state that is in use, each of them means something else than it did.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from iotonboard.disk.permissions import group_number, user_number
from iotonboard.errors import NotFoundError, UsageError
from iotonboard.state import config

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

PLACES: Final = ("ca_root_path", "broker_acl_file", "broker_crl_file", "broker_ca_file", "database_url")
READERS: Final = ("broker.user", "broker.group", "broker.mode")
RELOAD: Final = "broker.reload"
REACHING_OUT: Final = (*PLACES, *READERS, RELOAD)
_NUMBER_OF = {"broker.user": user_number, "broker.group": group_number}
_FIRST = {
    "ca_root_path": "move the files of {own} there first; then ",
    "database_url": "copy {own} there first; then ",
}
_OWN = {"ca_root_path": "certs", "database_url": "devices.db"}


@dataclass(frozen=True, slots=True)
class Held:
    """A setting of a backup that was not taken over."""

    key: str
    value: str
    reason: str

    def hint(self, root: str) -> str:
        """What to type where it should hold after all."""
        first = _FIRST.get(self.key, "").format(own=os.path.join(root, _OWN.get(self.key, "")))
        return f"{first}type: iotonboard config set {self.key} {shlex.quote(self.value)} --state {shlex.quote(root)}"


def wanted_settings(names: Iterable[str], *, in_place: bool) -> frozenset[str]:
    """What was asked for by name: single settings, and with ``in_place`` those of all places and who reads there.

    Raises:
        UsageError: there is another name.
    """
    wanted = frozenset(names)
    if unknown := wanted - set(REACHING_OUT):
        raise UsageError(
            f"{min(unknown)!r} is no setting that is held back", hint=f"choose of {', '.join(REACHING_OUT)}"
        )
    return wanted | frozenset((*PLACES, *READERS) if in_place else ())


def hold_back(root: str, values: Mapping[str, Any], wanted: Collection[str]) -> list[Held]:
    """Those of some settings (key -> value) that reach out of ``root`` and are not ``wanted``, or cannot be here."""
    held = [
        Held(key, str(values[key]), reason)
        for key in PLACES
        if key in values and (reason := _obstacle(_place(root, key, values[key]), root, is_wanted=key in wanted))
    ]
    is_moved = bool({one.key for one in held} & {"broker_acl_file", "broker_crl_file", "broker_ca_file"})
    for key in READERS:
        if value := str(values.get(key, "")):
            elsewhere = "it is of files that are published elsewhere" if is_moved and key not in wanted else ""
            if reason := _nobody(key, value) or elsewhere:
                held.append(Held(key, value, reason))
    if values.get(RELOAD) and RELOAD not in wanted:
        held.append(Held(RELOAD, str(values[RELOAD]), "a backup starts and signals nothing"))
    return held


def _place(root: str, key: str, value: str) -> tuple[str, str]:
    """A configured path, and the folder that must be there."""
    path = config.database_path(root, value) if key == "database_url" else config.resolve_path(root, value)
    return path, path if key == "ca_root_path" else os.path.dirname(path)


def _obstacle(place: tuple[str, str], root: str, *, is_wanted: bool) -> str:
    path, folder = place
    if not path or is_inside(root, path):
        return ""
    if not is_wanted:
        return "it lies outside of the state"
    return "" if os.path.isdir(folder) else f"there is no folder {folder!r} on this machine"


def is_inside(root: str, path: str) -> bool:
    """Say whether a path lies below a folder."""
    return os.path.normcase(path).startswith(os.path.normcase(os.path.join(os.path.abspath(root), "")))


def _nobody(key: str, value: str) -> str:
    """Why a user or group cannot be set here; empty when it can."""
    try:
        if number_of := _NUMBER_OF.get(key):
            number_of(value)
    except NotFoundError as error:
        return error.message
    return ""


def split_environment(
    environment: Mapping[str, str], wanted: Collection[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The environment without variables that set something that reaches out and is not ``wanted``, and their names."""
    names = {name for key in REACHING_OUT if key not in wanted for name in _variables(key)}
    ignored = tuple(sorted(name for name in names if environment.get(name)))
    return {name: value for name, value in environment.items() if name not in names}, ignored


def _variables(key: str) -> Iterable[str]:
    yield config.ENV_PREFIX + key.upper().replace(".", "_")
    if key.upper() in config.PLAIN_NAMES:
        yield key.upper()
