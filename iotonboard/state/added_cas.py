"""CAs that were added to a state, for certificates that no broker may take: each has a state of its own within it.

What brokers and MQTT clients trust is made from the database of the state, and such a CA is not in it: its devices,
lists and trail are in ``cas/NAME/devices.db``, its files in ``cas/NAME/`` below the folder of the CA. Everything that
works on a state works on it; the settings are those of the state around it, without what is for brokers.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from iotonboard.errors import ConflictError, NotFoundError, StateError
from iotonboard.state.config import NO_FILE, Config, Origin, Recorded, Value
from iotonboard.state.layout import ADDED_CAS as FOLDER
from iotonboard.state.layout import Paths
from iotonboard.state.setting_table import SETTINGS
from iotonboard.state.state import State
from iotonboard.store import added_cas as told
from iotonboard.store.issuers import all_issuers
from iotonboard.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

# What is for brokers, and where things are: a list of this CA's has no URL of the other's.
_NOT_FOR_IT = ("acl.", "broker", "ca_root_path", "crl_url", "database_url")


def told_cas(state: State) -> dict[str, str]:
    """The CAs that the trail says were added to a state: fingerprints of their first certificates by their names."""
    return {} if state.main else told.added_cas(state.store)


def refuse_token(state: State) -> None:
    """Refuse a key in a token for the CA of a state to which others were added: the PIN opens none of their files.

    Raises:
        ConflictError: there are some.
    """
    if names := ", ".join(told_cas(state)):
        raise ConflictError(
            f"the passphrase of this state opens the key of the added CA {names} too, and a token's PIN would not",
            hint="leave --key out: such a state keeps its CA key in a file",
        )


def paths_within(paths: Paths, name: str) -> Paths:
    """Where everything of an added CA is."""
    root, certs = (os.path.join(folder, FOLDER, name) for folder in (paths.root, paths.certs))
    return Paths(
        root=root,
        config=os.path.join(root, os.path.basename(paths.config)),
        database=os.path.join(root, "devices.db"),
        certs=certs,
        acl=os.path.join(root, "mosquitto.acl"),
        crl=os.path.join(certs, "crl.pem"),
        outbox=os.path.join(root, "outbox"),
    )


def state_within(state: State, name: str, store: Store) -> State:
    """The state of an added CA whose database is open."""
    store.verifies = state.store.verifies
    settings = _settings(state.config)
    return State(paths_within(state.paths, name), settings, store, state.caller, state.clock, main=state)


@contextlib.contextmanager
def open_added(state: State, name: str) -> Iterator[State]:
    """Open an added CA by its name.

    Raises:
        NotFoundError: there is none of that name.
        StateError: its database is gone or damaged, or that of another CA.
    """
    fingerprint = told_cas(state).get(name)
    if fingerprint is None:
        raise NotFoundError(f"there is no CA {name[:80]!r} in this state", hint=f"iotonboard ca add {name[:80]}")
    path = paths_within(state.paths, name).database
    if not os.path.exists(path):
        raise StateError(f"the database of the CA {name!r} is gone: {path!r}", hint="restore the latest backup")
    store = Store.open(path, timeout_s=state.config["busy_timeout_seconds"], now=state.clock())
    try:
        if not first_ca_is(store, fingerprint):
            raise StateError(
                f"{path!r} is not the database of the CA {name!r} that was added", hint="restore the latest backup"
            )
        yield state_within(state, name, store)
    finally:
        store.close()


def first_ca_is(store: Store, fingerprint: str) -> bool:
    """Say whether a database is that of the added CA whose first certificate has this fingerprint."""
    rows = all_issuers(store)
    return bool(rows) and rows[-1].fingerprint == fingerprint


def _settings(around: Config) -> Config:
    """The settings of an added CA: those of the state around it, without what is not for it."""
    left = {key: Value(one.default, Origin.DEFAULT) for key, one in SETTINGS.items() if key.startswith(_NOT_FOR_IT)}
    return replace(
        around,
        settings={**around.settings, **left},
        standing={**around.standing, **left},
        file=NO_FILE,
        recorded=Recorded({}, {}),
        overridden={},
        differing=(),
        unnoted={},
    )
