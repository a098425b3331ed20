"""``iotonboard.toml`` as the program writes it: the readable view of the settings that are not default."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import tomli_w

from iotonboard.disk.files import PRIVATE, create_exclusive, write_atomic
from iotonboard.disk.reading import read_file
from iotonboard.errors import IotOnboardError
from iotonboard.state.recorded_settings import settings_of
from iotonboard.state.setting_table import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from iotonboard.state.recorded_settings import Holds
    from iotonboard.state.state import State

# Strings of TOML 1.0, within which '#' begins no comment.
_STRINGS = re.compile(r'"""(?:\\.|[^\\])*?"""|' r"'''.*?'''|" r'"(?:\\.|[^"\\\n])*"|' r"'[^'\n]*'", re.DOTALL)


def write_settings_file(state: State, values: Mapping[str, Any], *, named: Collection[str]) -> str:
    """Replace the file; one that had comments, or that could not be read, is left beside it.

    Written are the ``values`` that are not default, and those that are ``named``.

    Returns the path of the one that was left, or an empty text.

    Raises:
        BusyError: the disk refuses; the old file stays.
    """
    path = state.paths.config
    old = _content(path)
    kept = _keep(path, old) if old is not None and _is_worth_keeping(old) else ""
    shown = {key: value for key, value in values.items() if value != SETTINGS[key].default or key in named}
    write_atomic(path, _toml(shown).encode("utf-8"), PRIVATE)
    return kept


def note_file(state: State) -> None:
    """Note, in the transaction that changes settings, which file shows those before: it is written anew afterwards."""
    state.store.set_meta("settings_file", sha256(_content(state.paths.config) or b"").hexdigest())


def finish_writing(state: State, environment: Mapping[str, str], holds: Holds | None) -> State:
    """Write the file that an interrupted command had no time to write; one that somebody edited since is left alone.

    Returns the state with its settings as they are then.
    """
    found = sha256(_content(state.paths.config) or b"").hexdigest()
    if not state.config.differing or state.config.recorded.problem or found != state.store.meta("settings_file"):
        return state
    values = {key: one.value for key, one in state.config.standing.items()}
    with contextlib.suppress(IotOnboardError):
        write_settings_file(state, values, named=state.config.file.values)
    return replace(state, config=settings_of(state.store, state.paths.root, environment, holds))


def _toml(values: Mapping[str, Any]) -> str:
    tables: dict[str, Any] = {}
    for key in sorted(values, key=lambda key: ("." in key, list(SETTINGS).index(key))):
        table, _, name = key.rpartition(".")
        value = values[key]
        (tables.setdefault(table, {}) if table else tables)[name] = list(value) if isinstance(value, tuple) else value
    return tomli_w.dumps(tables)


def _content(path: str) -> bytes | None:
    """What stands there; ``None`` where nothing can be read, of which nothing is kept either."""
    try:
        return read_file(path, limit=1 << 20) if os.path.isfile(path) else None
    except IotOnboardError:
        return None


def _is_worth_keeping(content: bytes) -> bool:
    """Say whether somebody wrote more into it than values: comments, or what is no TOML."""
    try:
        return "#" in _STRINGS.sub("", content.decode("utf-8"))
    except UnicodeDecodeError:
        return True


def _keep(path: str, content: bytes) -> str:
    number, kept = 1, f"{path}.old"
    while os.path.lexists(kept):
        number, kept = number + 1, f"{path}.old-{number}"
    create_exclusive(kept, content)
    return kept
