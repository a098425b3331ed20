"""Where the database of a state is, also where what names it cannot be followed.

A settings file or a variable may name another file: by a typo, or because it is another program's. Then what was used
last serves those who revoke, where that can be known: the database in its usual place holds the CA of this state, and
nobody moved away from it.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.disk.reading import read_file
from iotonboard.errors import ConflictError, IotOnboardError, NotFoundError, PolicyError, StateError
from iotonboard.pki import pem
from iotonboard.state import chain, config
from iotonboard.state.layout import Paths, database_of, resolve_paths
from iotonboard.state.recorded_settings import unrecorded_values
from iotonboard.state.setting_table import SETTINGS
from iotonboard.store import audit
from iotonboard.store import settings as store_settings
from iotonboard.store.issuers import all_issuers
from iotonboard.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from iotonboard.state.state import State

_KEY, _ANCHORS_LIMIT, _WAIT_S = "database_url", 1 << 20, 5.0


@dataclass(frozen=True, slots=True)
class Found:
    """The file of the database, and the settings by which it was found.

    ``problem``: why another one is used than they name; ``url`` names it.
    """

    path: str
    settings: config.Config
    url: str = ""
    problem: PolicyError | None = None

    def with_place(self, settings: config.Config) -> config.Config:
        """Settings that were read anew, with the place of the database that was found."""
        return config.at_database(settings, self.url, self.problem) if self.problem else settings


def find_database(root: str, settings: config.Config, *, past: Collection[str]) -> Found:
    """Find the database.

    ``past``: origins of settings that may name another file, past which the one that was used last is looked for.
    """
    try:
        named = resolve_paths(root, settings).database
    except PolicyError as error:
        settings = config.without_environment(settings, error)
        named = database_of(root, settings)
    value, base = settings.settings[_KEY], os.path.abspath(root)
    urls = (settings.standing[_KEY].value, SETTINGS[_KEY].default) if value.origin in past else ()
    others = {place: url for url in urls if (place := config.database_path(base, url)) != named}
    if any(map(os.path.isfile, others)) and not _is_of(named, base, settings):
        for place, url in others.items():
            if _is_of(place, base, settings):
                source = value.variable or config.FILE_NAME
                hint = (
                    f"unset {source}" if value.variable else f"correct {_KEY} there, or type: iotonboard config write"
                )
                message = f"{source} names {named!r}, which is not the database of this state: {place!r} is used"
                problem = PolicyError(message, hint=hint)
                return Found(place, settings, url, problem)
    return Found(named, settings)


def open_database(root: str, found: Found, *, timeout_s: float, now: datetime) -> tuple[Store, Found]:
    """Open the database that was found, or the one that it was moved to; and say which.

    Raises:
        StateError: it was moved, and is not where it was moved to; or it cannot be opened.
    """
    left = set[str]()
    while True:
        store = Store.open(found.path, timeout_s=timeout_s, now=now)
        url = _moved_to(store, os.path.abspath(root))
        if not url:
            return store, found
        store.close()
        left.add(found.path)
        found = _behind(os.path.abspath(root), found, url, left)


def _behind(root: str, found: Found, url: str, left: Collection[str]) -> Found:
    """What is found where ``url`` says that the database was moved to, and why it is used."""
    path, value = config.database_path(root, url), found.settings.settings[_KEY]
    if path in left or not _has_our_ca(path, root, found.settings):
        raise StateError(
            f"the database of this state was moved to {path!r}, and is not there; what was left in {found.path!r} is"
            " older",
            hint="bring that disk back; if it is lost, restore the latest backup into a new folder",
        )
    if not value.variable and found.settings.file.values.get(_KEY) is None:
        message = f"{config.FILE_NAME} does not say any more that the database was moved to {path!r}, which is used"
        hint = "type: iotonboard config write"
    else:
        source = value.variable or config.FILE_NAME
        message = f"{source} names {found.path!r}, from where the database was moved: {path!r} is used"
        hint = f"unset {source}" if value.variable else f"correct {_KEY} there, or type: iotonboard config write"
    return Found(path, found.settings, url, PolicyError(message, hint=hint))


def refuse_other_database(state: State, url: str) -> None:
    """Make sure, before it is named, that a file is the database of a state, as it is now.

    Raises:
        NotFoundError: it is not.
        ConflictError: it is, from an earlier time.
    """
    root = state.paths.root
    path = config.database_path(root, url)
    if not _is_of(path, root, config.resolve(config.NO_FILE, {}, config.Recorded())):
        raise NotFoundError(
            f"{path!r} is not the database of this state", hint="copy the database there first, while nobody works"
        )
    with contextlib.closing(Store.open_to_look(path, timeout_s=_WAIT_S)) as store:
        if audit.head(store) != audit.head(state.store):
            raise ConflictError(
                f"{path!r} lacks what was done since it was copied",
                hint="copy the database there again, while nobody works",
            )


def _is_of(path: str, root: str, settings: config.Config) -> bool:
    """Say whether a file is the database of the state at ``root``, and the one that was in use last."""
    return _has_our_ca(path, root, settings, is_last=True)


def _has_our_ca(path: str, root: str, settings: config.Config, *, is_last: bool = False) -> bool:
    """Say whether a file is a database of the state at ``root``; with ``is_last``, one that nobody moved away from."""
    if not os.path.isfile(path):
        return False
    try:
        with contextlib.closing(Store.open_to_look(path, timeout_s=_WAIT_S)) as store:
            is_left = is_last and bool(_moved_to(store, root))
            issued = {der for row in all_issuers(store) for der in (row.der, chain.chain_in_force(store, row)[0])}
    except IotOnboardError:
        return False
    published = _anchors(root, settings)
    return not is_left and (bool(issued & published) if published else bool(issued))


def _moved_to(store: Store, root: str) -> str:
    """The URL of the place to which a database was moved, as it notes itself and its trail tells, or empty."""
    try:
        url = str(SETTINGS[_KEY].parse(json.loads(store_settings.noted(store)[_KEY])))
        if _KEY in unrecorded_values(store):
            return ""
    except (IotOnboardError, KeyError, TypeError, ValueError):  # nothing was noted, or it is damaged: no obstacle
        return ""
    return url if config.database_path(root, url) != store.path else ""


def _anchors(root: str, settings: config.Config) -> set[bytes]:
    """The certificates of the CAs as they are published; none while their disk is away."""
    for folder in dict.fromkeys((settings["ca_root_path"], SETTINGS["ca_root_path"].default)):
        paths = Paths(root, "", "", config.resolve_path(root, folder), "", "", "")
        with contextlib.suppress(IotOnboardError):
            return set(pem.pem_blocks("CERTIFICATE", read_file(paths.ca_certificate, limit=_ANCHORS_LIMIT)))
    return set()
