"""Files and folders of devices, brokers and CAs that nothing recorded explains."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from iotonboard.health.difference import Difference
from iotonboard.ids import folder_name
from iotonboard.store.certificates import broker_hosts
from iotonboard.store.devices import find_device
from iotonboard.store.inspection import foreign_ids
from iotonboard.store.issuers import current_issuers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from iotonboard.state.state import State
    from iotonboard.store.store import Store

_DEVICE_FILES = frozenset({"device.crt", "device.key", "creds.zip"})
_BROKER_FILES = frozenset({"broker.crt", "broker.key", "broker-plain.key", "mosquitto.conf", "mosquitto.pid"})


def ghosts(state: State) -> Iterator[Difference]:
    """Files and folders that nothing recorded explains."""
    keys = {row.key_file for row in current_issuers(state.store)}
    for name in sorted(os.listdir(state.paths.certs)) if os.path.isdir(state.paths.certs) else ():
        if name.endswith(".key") and name not in keys:
            yield Difference("ghost", name, f"certs/{name} is the key of no CA that was recorded")
    hosts = {os.path.basename(state.paths.broker(host).path) for host in broker_hosts(state.store)}
    yield from _ghosts_among(state, "brokers", _BROKER_FILES, lambda name: name in hosts)
    adopted = {folder_name(name) for name in foreign_ids(state.store)}
    is_recorded = partial(_is_folder_of_device, state.store, adopted)
    yield from _ghosts_among(state, "devices", _DEVICE_FILES, is_recorded)


def _ghosts_among(
    state: State, kind: str, expected: frozenset[str], is_recorded: Callable[[str], bool]
) -> Iterator[Difference]:
    """Look through the folders below ``certs/<kind>``."""
    root = os.path.join(state.paths.certs, kind)
    for name in sorted(os.listdir(root)) if os.path.isdir(root) else ():
        folder = os.path.join(root, name)
        if not is_recorded(name):
            yield Difference("ghost", name, f"certs/{kind}/{name} belongs to nothing that was recorded")
        elif not os.path.isdir(folder):
            yield Difference("ghost", name, f"certs/{kind}/{name} is no folder")
        else:
            for file in sorted(set(os.listdir(folder)) - expected):
                yield Difference("ghost", name, f"certs/{kind}/{name}/{file} was not written by this program")


def _is_folder_of_device(store: Store, adopted: set[str], name: str) -> bool:
    """Say whether a device's folder has this very name, letter by letter."""
    found = find_device(store, name)
    return name in adopted or (found is not None and folder_name(found.device_id) == name)
