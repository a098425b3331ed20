"""The folder that a broker on this machine reads everything from, as ``broker issue --for`` makes it.

::

    DIR/                 root's, 0755: the broker's user may enter it
    DIR/broker.crt       certificate
    DIR/broker.key       key, not encrypted, 0600 and the broker's user's
    DIR/ca.crt crl.pem mosquitto.acl    published there from now on, 0640 and the broker's user's
    DIR/mosquitto.conf   or conf.d/iotonboard.conf beside DIR (``broker/conf_place.py``)

The three published files are those of the settings, so that whatever publishes reaches the broker.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from iotonboard.broker.conf_place import ConfPlace, conf_place, own_place
from iotonboard.disk.files import make_dir, write_atomic, write_together
from iotonboard.disk.owner import Owner, is_working_as_owner
from iotonboard.disk.permissions import Placement, group_of, unenterable_for, user_number
from iotonboard.disk.reading import read_file
from iotonboard.disk.walking import no_folder
from iotonboard.errors import ConflictError, NotFoundError, PolicyError
from iotonboard.pki import pem
from iotonboard.state.config import Origin, with_values
from iotonboard.state.setting_sets import check_settings
from iotonboard.state.settings_seal import standing_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iotonboard.state.layout import Paths
    from iotonboard.state.state import State

_LARGEST_ACL = 1 << 30
_MODE = "0640"  # with the broker's user and its group as owners: Mosquitto 2.1 says nothing of it


@dataclass(frozen=True, slots=True)
class BrokerFolder:
    """A folder on this machine, whom its broker runs as, and where the configuration belongs.

    ``seen_as`` is the folder's path as the broker sees it; empty: the same.
    """

    path: str
    user: str
    place: ConfPlace
    seen_as: str = ""

    def seen(self, path: str) -> str:
        """How the broker sees a file in the folder."""
        return (self.seen_as or self.path) + path[len(self.path) :]

    @property
    def start(self) -> str:
        """What starts the broker with its configuration."""
        if not self.seen_as:
            return self.place.start
        return f"restart the container, with the folder {self.path} mounted at {self.seen_as}"

    @property
    def certificate(self) -> str:
        """The broker's certificate, PEM."""
        return os.path.join(self.path, "broker.crt")

    @property
    def key(self) -> str:
        """Its key, PKCS#8 in PEM, in the clear: a broker asks nobody."""
        return os.path.join(self.path, "broker.key")

    @property
    def published(self) -> dict[str, str]:
        """The settings that name the three files that are published here."""
        names = {"broker_acl_file": "mosquitto.acl", "broker_crl_file": "crl.pem", "broker_ca_file": "ca.crt"}
        return {key: os.path.join(self.path, name) for key, name in names.items()}


@dataclass(frozen=True, slots=True)
class FolderSettings:
    """The settings that a folder needs: ``changed`` of all ``values``, and where everything is with them."""

    values: Mapping[str, Any]
    changed: Mapping[str, Any]
    paths: Paths

    def applied(self, state: State) -> State:
        """The state with them."""
        return replace(state, config=with_values(state.config, self.changed), paths=self.paths)


def _default_user() -> str:
    """The caller; Mosquitto that is started by root becomes ``mosquitto``."""
    if not hasattr(os, "geteuid"):
        return ""
    return Owner(os.geteuid(), 0).name if os.getuid() else "mosquitto"


def find_folder(path: str, user: str, seen_as: str = "") -> BrokerFolder:
    """Look at a folder, which is made later where it is not there.

    Without a ``user`` it is whom a broker becomes that is started by whoever runs the program. With ``seen_as``, in a
    container, no other file than the folder's own is the broker's configuration.

    Raises:
        NotFoundError: there is no such user, or no folder to make it in.
        ConflictError: a link, or something that is no folder, stands there; or the broker's configuration names another
            user.
        PolicyError: the broker's user could not get at its files, or this call cannot give them to it.
    """
    path = os.path.abspath(path)
    place = own_place(path) if seen_as else conf_place(path)
    user = user or place.user or _default_user()
    if place.user and user != place.user:
        raise ConflictError(f"{place.main!r} says user {place.user!r}", hint=f"name that one: --user {place.user}")
    parent = path if os.path.isdir(path) else os.path.dirname(path)
    if os.path.islink(path) or (os.path.lexists(path) and not os.path.isdir(path)):
        raise ConflictError(f"{path!r} is not a folder", hint="a folder belongs there, and no link")
    if not os.path.isdir(parent):
        raise NotFoundError(no_folder(parent), hint="make it, or name another place with --for")
    number = user_number(user)
    if hasattr(os, "geteuid") and os.getuid() not in (0, number):
        raise PolicyError(
            f"only root can give files to user {user!r}",
            hint="run this as root, or name your own user with --user when the broker runs as you",
        )
    if is_working_as_owner():
        raise PolicyError(
            "only root's own state can give files to another user, at every revocation anew",
            hint="make the state root's (chown -R root:root STATE), or carry packages there: 'pack' and 'apply'",
        )
    if reason := unenterable_for(parent, user):
        raise PolicyError(
            f"user {user!r} could not read files in {path!r}: {reason}",
            hint="choose a folder that it can get to, such as /etc/mosquitto/iotonboard, or open that one: chmod o+x",
        )
    return BrokerFolder(path, user, place, seen_as)


def settings_for(state: State, folder: BrokerFolder) -> FolderSettings:
    """The settings by which the three published files reach a folder, and ``--reload`` its broker.

    Raises:
        ConflictError: one of them is set to something else already.
        PolicyError: one file would be used for two things, or the settings file cannot be read.
    """
    wanted: dict[str, Any] = {**folder.published, "broker.user": folder.user}
    if not folder.seen_as:  # else its paths mean nothing here
        wanted["broker.conf"] = folder.place.main
    standing = standing_values(state)
    for key, value in wanted.items():
        found = state.config.settings[key]
        if found.origin is Origin.ENVIRONMENT and found.value != value:
            raise ConflictError(f"{found.variable} says {found.value!r}", hint=f"unset {found.variable} for this")
        if found.origin is not Origin.DEFAULT and found.value != value:
            raise ConflictError(
                f"{key} is {found.value!r} already, and would have to be {value!r}",
                hint=f"where that other place is no longer used: iotonboard config set {key} '{value}'",
            )
    further = {"broker.mode": _MODE, "broker.group": _group_for(folder), "broker.reload": _reload_of(folder)}
    wanted |= {key: value for key, value in further.items() if not standing[key]}
    changed = {key: value for key, value in wanted.items() if standing[key] != value}
    if changed and state.config.file.problems:
        raise state.config.file.problems[0]
    values = standing | changed
    # Its folder is not there yet, and so not among what is checked.
    paths = check_settings(state.paths.root, values, {"broker.user"})
    return FolderSettings(values, changed, paths)


def _group_for(folder: BrokerFolder) -> str:
    """The group of the broker's user where root gives it files: 2.1 warns of any other one."""
    is_given = hasattr(os, "geteuid") and os.geteuid() == 0 and user_number(folder.user) != 0
    return group_of(folder.user) if is_given else ""


def _reload_of(folder: BrokerFolder) -> str:
    return f"pid:{folder.place.pid_path}" if folder.place.pid_path else ""


def make_folder(state: State, folder: BrokerFolder) -> None:
    """Make the folder, with the ACL of now in it: whatever publishes there next must find the operator's own rules.

    Before the settings name it, so that a kill in between leaves nothing that cannot be published.

    Raises:
        BusyError: the disk refuses.
    """
    make_dir(folder.path, 0o755)
    acl = folder.published["broker_acl_file"]
    if not os.path.lexists(acl) and os.path.isfile(state.paths.acl):
        placement = Placement(int(_MODE, 8), user_number(folder.user))
        write_atomic(acl, read_file(state.paths.acl, limit=_LARGEST_ACL), placement)


def write_pair(folder: BrokerFolder, certificate_pem: bytes, key_der: bytes) -> None:
    """Put certificate and key in place, together: both are written whole before the first is renamed.

    Behind the certificate may stand the CAs that are sent along.

    Raises:
        BusyError: the disk refuses.
        ConflictError: something that is no file is in the way.
    """
    owner = user_number(folder.user)
    refused = write_together(
        {
            folder.key: (pem.pem_encode("PRIVATE KEY", key_der), Placement(0o600, owner)),
            folder.certificate: (certificate_pem, Placement(0o644, owner)),
        }
    )
    for error in refused.values():
        raise error
