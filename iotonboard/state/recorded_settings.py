"""What the database says of the settings, and how the settings of a state are put together from all their sources.

Nothing is verified here: that takes the library that signs, which a command that only looks does without. Others hand
in ``holds`` of ``settings_seal.py``, and then run on nothing that a CA did not sign.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from iotonboard.disk.reading import read_file
from iotonboard.errors import IotOnboardError, PolicyError, StateError, UsageError
from iotonboard.state import config
from iotonboard.state.config import Config, FileContent, Recorded, parse_value
from iotonboard.state.setting_table import SETTINGS
from iotonboard.store import audit
from iotonboard.store import settings as store_settings
from iotonboard.store.recalled import unlike_trail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from iotonboard.state.state import State
    from iotonboard.store.settings import Seal
    from iotonboard.store.store import Store

    Holds = Callable[[Seal], bool]

canonical = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode
_MAX_FILE = 1 << 20
_ACCEPT = "look at 'iotonboard config show'; what is right, 'iotonboard config accept' seals with the passphrase"


def read_settings_file(root: str) -> FileContent:
    """Read ``iotonboard.toml`` of a state directory; one that cannot be read is a problem and no obstacle."""
    path = os.path.join(root, config.FILE_NAME)
    if not os.path.lexists(path):
        return config.NO_FILE
    try:
        if not os.path.isfile(path):
            raise PolicyError(
                f"{path!r} is not a file",
                hint="a file belongs there: rename what is, and type: iotonboard config write",
            )
        return read_settings(read_file(path, limit=_MAX_FILE))
    except IotOnboardError as error:
        return FileContent({}, (PolicyError(error.message, hint=error.hint),), is_whole=False)


def read_settings(content: bytes) -> FileContent:
    """Read the octets of an ``iotonboard.toml``; what cannot be read is a problem and no obstacle."""
    try:
        encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
        return config.read_text(content.decode(encoding))
    except UnicodeDecodeError:
        hint = "correct the file, or type: iotonboard config write"
        return FileContent({}, (PolicyError(f"{config.FILE_NAME} is not UTF-8 text", hint=hint),), is_whole=False)


def load_settings(root: str, environment: Mapping[str, str]) -> Config:
    """Resolve the settings of a directory in which no database is open."""
    return config.resolve(read_settings_file(root), environment, Recorded())


def settings_of(store: Store, root: str, environment: Mapping[str, str], holds: Holds | None) -> Config:
    """Resolve the settings of a state whose database is open; with ``holds``, only sealed ones are believed."""
    recorded = read_recorded(store, holds)
    return config.resolve(config.with_checked_profiles(read_settings_file(root), recorded), environment, recorded)


def read_recorded(store: Store, holds: Holds | None) -> Recorded:
    """What the database says. A part of it that is damaged or gone is a problem, and no obstacle."""
    try:
        noted, slipped = noted_values(store), unrecorded_values(store)
        noted = {key: value for key, value in noted.items() if key not in slipped}
        newest = None
        for seal in store_settings.seals(store):
            newest = newest or seal
            if holds is None or holds(seal):
                return Recorded(_checked(dict(json.loads(seal.settings))), noted, _not_newest(seal, newest), slipped)
    except (StateError, ValueError, TypeError) as error:
        return Recorded({}, {}, _problem(f"the settings in the database are damaged: {error}"))
    if newest is not None:
        return Recorded({}, noted, _problem("no CA of this state signed the settings in the database"), slipped)
    if holds is not None and store_settings.has_sealed_before(store):
        return Recorded({}, noted, _problem("the sealed settings are gone from the database"), slipped)
    return Recorded(None, noted, slipped_in=slipped)


def noted_values(store: Store) -> dict[str, Any]:
    """Single values as the database has them, whoever wrote them there."""
    return _checked({key: json.loads(value) for key, value in store_settings.noted(store).items()})


def unrecorded_values(store: Store) -> tuple[str, ...]:
    """Keys of single values that somebody wrote into the database and no command recorded."""
    noted = store_settings.noted(store)
    return tuple(key for key in unlike_trail(store, "setting") if key in noted) if noted else ()


def _not_newest(seal: Seal, newest: Seal) -> PolicyError | None:
    if seal is newest:
        return None
    return _problem(
        f"no CA of this state signed the settings number {newest.number} in the database; in force are those before"
    )


def _problem(message: str) -> PolicyError:
    return PolicyError(message, hint=_ACCEPT)


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values from the database; one that a later version knows, or that cannot be, is left out."""
    found = {}
    for key, raw in values.items():
        try:
            found[key] = parse_value(key, raw, "database")
        except (PolicyError, UsageError):
            continue
    return found


def set_without_key(state: State, key: str, value: Any, now: datetime) -> None:
    """Note a value that needs no seal, or that is tighter than the one in force, in the caller's transaction.

    Raises:
        PolicyError: it needs the passphrase.
    """
    if needs_key(state, key, value):
        raise PolicyError(f"{key} needs the passphrase to be set to that", hint="name its file with --passphrase-file")
    record_change(state, key, state.config.standing[key].value, value, now)
    if key == "database_url" and config.database_path(state.paths.root, value) == state.paths.database:
        store_settings.forget(state.store, key)  # noted is where it was moved to
    else:
        store_settings.note(state.store, key, canonical(value))


def needs_key(state: State, key: str, value: Any) -> bool:
    """Say whether a setting is sealed, and a new value of it not tighter than the one in force."""
    setting, now = SETTINGS[key], state.config.standing[key].value
    return setting.is_sealed and value != now and not setting.is_tighter(value, now)


def record_change(state: State, key: str, old: Any, new: Any, now: datetime) -> None:
    """Append a changed setting to the trail, in the caller's transaction."""
    audit.append(state.store, state.caller, now, subject=key, detail={"old": old, "new": new})


def note_used(state: State, now: datetime) -> None:
    """Note, before something is recorded, which values it ran on, as far as that is not known already.

    That is what the environment overrides of sealed settings, and what the file says of those that need no seal: these
    values serve when it cannot be read.
    """
    overridden = canonical(state.config.overridden)
    if overridden != (state.store.meta("settings_overridden") or "{}"):
        state.store.set_meta("settings_overridden", overridden)
        detail = {"environment": state.config.overridden}
        audit.append(state.store, state.caller, now, subject="settings", detail=detail)
    if state.config.unnoted:
        known = noted_values(state.store)  # an earlier record of this call may have done it
        for key, new in state.config.unnoted.items():
            if new != (old := known.get(key, SETTINGS[key].default)):
                record_change(state, key, old, new, now)
                store_settings.note(state.store, key, canonical(new))
