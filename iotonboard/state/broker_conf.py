"""The ``mosquitto.conf`` of a broker: written once, and anew as long as nobody changed it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

from iotonboard.broker.acl import Version
from iotonboard.broker.conf import render_conf
from iotonboard.broker.conf_place import CONF_NAME, ConfPlace
from iotonboard.disk.files import PUBLIC, write_atomic
from iotonboard.disk.permissions import check_plain
from iotonboard.disk.reading import read_file

if TYPE_CHECKING:
    from iotonboard.state.broker_folder import BrokerFolder
    from iotonboard.state.state import State
    from iotonboard.store.brokers import BrokerSetup

_LIMIT = 1 << 20
_PID_NAME = "mosquitto.pid"
_MOSQUITTO = "mosquitto"  # whom it becomes by itself


@dataclass(frozen=True, slots=True)
class ConfResult:
    """The file, what starts the broker with it, and whether it says what it should: else somebody changed it.

    ``pid_path`` is where the broker then writes its process number; empty where that is not known.
    """

    path: str
    start: str
    is_current: bool
    pid_path: str


def check_conf(state: State, setup: BrokerSetup, folder: BrokerFolder | None) -> None:
    """Make sure that paths and names can stand in a configuration.

    Raises:
        PolicyError: one cannot.
    """
    _render(state, setup, folder, setup.port, state.config["broker.version"])


def write_conf(state: State, setup: BrokerSetup, before: BrokerSetup, folder: BrokerFolder | None) -> ConfResult:
    """Write the configuration; one that is not as the program wrote it stays as it is.

    Raises:
        ConflictError: a link, or something that is no file, stands there.
        BusyError: the disk refuses.
    """
    place = _place(state, setup, folder)
    start = folder.start if folder else place.start
    text = _render(state, setup, folder, setup.port, state.config["broker.version"])
    if os.path.lexists(place.path):
        check_plain(place.path)
        found = read_file(place.path, limit=_LIMIT)
        folders = [replace(folder, seen_as=one) for one in (setup.seen_as, before.seen_as)] if folder else [None]
        ours = (
            _body(_render(state, replace(setup, has_plain_key=has_plain_key), as_seen, port, version, has_pid=has_pid))
            for has_plain_key in (True, False)
            for has_pid in (True, False)  # of an earlier version
            for port in (setup.port, before.port)
            for version in get_args(Version)
            for as_seen in folders
        )
        if found == text or _body(found) not in ours:
            is_current = found == text
            return ConfResult(place.path, start, is_current, place.pid_path if is_current else "")
    write_atomic(place.path, text, PUBLIC)
    return ConfResult(place.path, start, is_current=True, pid_path=place.pid_path)


def _body(text: bytes) -> bytes:
    """All but the first line, in which the broker's name stands."""
    return text.partition(b"\n")[2]


def _place(state: State, setup: BrokerSetup, folder: BrokerFolder | None) -> ConfPlace:
    if folder:
        return folder.place
    folder_here = state.paths.broker(setup.host).path
    own = os.path.join(folder_here, CONF_NAME)
    return ConfPlace(own, own, os.path.join(folder_here, _PID_NAME))


def _render(
    state: State,
    setup: BrokerSetup,
    folder: BrokerFolder | None,
    port: int,
    version: Version,
    *,
    has_pid: bool = True,
) -> bytes:
    own = state.paths.broker(setup.host)
    plain_key = os.path.join(own.path, "broker-plain.key") if setup.has_plain_key else own.key
    published = {key: folder.seen(path) for key, path in folder.published.items()} if folder else {}
    text = render_conf(
        host=setup.host,
        port=port,
        ca_path=published.get("broker_ca_file", state.paths.ca_for_broker),
        cert_path=folder.seen(folder.certificate) if folder else own.certificate,
        key_path=folder.seen(folder.key) if folder else plain_key,
        crl_path=published.get("broker_crl_file", state.paths.crl),
        acl_path=published.get("broker_acl_file", state.paths.acl),
        # Whoever reads a folder of its own may be started by systemd as its user, who writes no file there.
        pid_path=_place(state, setup, None).pid_path if has_pid and not folder else "",
        user=_other_user(folder.user) if folder and not folder.place.user else "",
        is_included=folder is not None and folder.place.is_included,
        version=version,
    )
    return text.encode("utf-8", "surrogateescape")  # paths as the system has them


def _other_user(name: str) -> str:
    """Whom the configuration must name: not the one that is default, nor a number, which Mosquitto does not take."""
    return "" if name == _MOSQUITTO or name.isdecimal() else name
