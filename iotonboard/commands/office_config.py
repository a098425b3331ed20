"""``config show`` and ``config set`` at an office: its few settings, which are this machine's own."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import ConflictError, PolicyError, UsageError, did_you_mean, quoted
from iotonboard.office.giving import version_of
from iotonboard.office.office import WAIT_S, read_memory
from iotonboard.office.settings import (
    ABOUT,
    SETTINGS,
    place_of,
    read_settings,
    read_settings_file,
    read_with_sources,
    registry_url,
    write_settings_file,
)
from iotonboard.store.registry import trail
from iotonboard.store.registry.registry import Registry, without_password

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from iotonboard.model import Caller

_URL = "database_url"


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting. ``source`` is ``default``, ``file`` or the name of a variable; no value holds a password."""

    key: str
    value: str
    source: str
    about: str


def show_settings(root: str, environment: Mapping[str, str]) -> list[Shown]:
    """Every setting.

    Raises:
        PolicyError: the file cannot be read, or names what is no setting of an office.
    """
    return [
        Shown(key, _printable(key, value), source, ABOUT[key])
        for key, (value, source) in read_with_sources(root, environment).items()
    ]


def _printable(key: str, value: str) -> str:
    return without_password(value) if key == _URL else value


def set_value(root: str, environment: Mapping[str, str], caller: Caller, now: datetime, key: str, value: str) -> str:
    """Check a value, write it into the settings file of this machine, and record it; returns it as it may be shown.

    Raises:
        UsageError: there is no such setting.
        PolicyError: it does not take that value.
        ConflictError: the registry there is another office's.
        StateError: there is no registry.
        BusyError: it cannot be reached, or the disk refuses.
    """
    if key not in SETTINGS:
        hint = did_you_mean(key, SETTINGS, f"an office has: {', '.join(SETTINGS)}")
        raise UsageError(f"an office has no setting {quoted(key)}", hint=hint)
    before = read_settings_file(root)
    _check(root, key, value)
    url = value if key == _URL else read_settings(root, environment)[_URL]
    with closing(Registry.open(registry_url(root, url), timeout_s=WAIT_S)) as registry:
        if registry.value("id") != read_memory(root).registry:
            raise ConflictError(
                f"{registry.place!r} is another office's registry", hint="name the one of this office, wherever it is"
            )
        with registry.transaction():
            detail = {"setting": key, "old": _printable(key, before.get(key, "")), "new": _printable(key, value)}
            trail.append(registry, caller, now, subject=key, detail=detail)
    write_settings_file(root, {**before, key: value})
    return _printable(key, value)


def _check(root: str, key: str, value: str) -> None:
    if key == "broker_version":
        version_of(value)
    if key in {_URL, "broker_version"} or (key == "archive" and not value):
        return
    path = place_of(root, value)
    folder = path if key == "archive" else os.path.dirname(path)
    if not value or "\0" in value or not os.path.isdir(folder):
        raise PolicyError(f"there is no folder {folder!r} for {key!r}", hint="make it, or name another one")
