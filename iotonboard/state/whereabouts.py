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

from iotonboard.errors import IotOnboardError, NotFoundError, PolicyError
from iotonboard.pki import pem
from iotonboard.reading import read_file
from iotonboard.state import config
from iotonboard.state.layout import Paths, database_of, resolve_paths
from iotonboard.state.setting_table import SETTINGS
from iotonboard.store import settings as store_settings
from iotonboard.store.issuers import all_issuers
from iotonboard.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Collection

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


def refuse_other_database(root: str, url: str) -> None:
    """Make sure, before it is named, that a file is the database of a state.

    Raises:
        NotFoundError: it is not.
    """
    path = config.database_path(os.path.abspath(root), url)
    if not _is_of(path, os.path.abspath(root), config.resolve(config.NO_FILE, {}, config.Recorded())):
        raise NotFoundError(
            f"{path!r} is not the database of this state", hint="copy the database there first, while nobody works"
        )


def _is_of(path: str, root: str, settings: config.Config) -> bool:
    """Say whether a file is the database of the state at ``root``, and the one that was in use last."""
    if not os.path.isfile(path):
        return False
    try:
        with contextlib.closing(Store.open_to_look(path, timeout_s=_WAIT_S)) as store:
            moved_to = json.loads(store_settings.noted(store).get(_KEY, '""'))
            issued = {issuer.der for issuer in all_issuers(store)}
    except (IotOnboardError, ValueError):
        return False
    if moved_to and config.database_path(root, str(moved_to)) != path:
        return False
    published = _anchors(root, settings)
    return bool(issued & published) if published else bool(issued)


def _anchors(root: str, settings: config.Config) -> set[bytes]:
    """The certificates of the CAs as they are published; none while their disk is away."""
    for folder in dict.fromkeys((settings["ca_root_path"], SETTINGS["ca_root_path"].default)):
        paths = Paths(root, "", "", config.resolve_path(root, folder), "", "", "")
        with contextlib.suppress(IotOnboardError):
            return set(pem.pem_blocks("CERTIFICATE", read_file(paths.ca_certificate, limit=_ANCHORS_LIMIT)))
    return set()
