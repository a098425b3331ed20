"""``config accept``: seal what ``iotonboard.toml`` says, after somebody has edited it, with the CA's key."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iotonboard.ca.authority import seal_audit, sealer
from iotonboard.ca.copies import refuse_copies
from iotonboard.errors import NotFoundError
from iotonboard.state.reach import refuse_wide_templates
from iotonboard.state.setting_sets import TOPIC_SETTINGS, check_settings, follow_settings, where_keys_are
from iotonboard.state.setting_table import SETTINGS
from iotonboard.state.settings_seal import seal_settings, standing_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.ca.authority import Authority
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that the file changes."""

    key: str
    old: Any
    new: Any


def accept_file(state: State, unlock: Callable[[State], Authority], *, reach: bool = False) -> tuple[Change, ...]:
    """Seal every value of the file, and what it does not name as default; nothing where all is sealed as it says.

    ``reach``: topic templates that reach other devices' topics are meant.

    Raises:
        NotFoundError: there is no file, or a user, group or folder that it names anew.
        PolicyError: it cannot be read, or a value is not allowed, alone or with the others.
        ConflictError: it changes what shapes the ACL, and another copy of this state is at work, whose region stays.
        KeyUnavailableError: the passphrase is not there or wrong.
    """
    settings, standing = state.config, standing_values(state)
    if not os.path.lexists(state.paths.config):
        hint = "'iotonboard config write' writes it from the settings in force"
        raise NotFoundError(f"there is no file {state.paths.config!r}", hint=hint)
    if settings.file.problems:
        raise settings.file.problems[0]
    values = {key: settings.file.values.get(key, setting.default) for key, setting in SETTINGS.items()}
    changes = tuple(Change(key, standing[key], new) for key, new in values.items() if new != standing[key])
    if not reach:
        refuse_wide_templates(state, standing["acl.topics"], values["acl.topics"])
    if any(change.key in TOPIC_SETTINGS for change in changes):
        refuse_copies(state)
    there = check_settings(state.paths.root, values, {change.key for change in changes})
    recorded = settings.recorded
    if not changes and recorded.sealed is not None and recorded.problem is None and not recorded.slipped_in:
        return ()
    authority = unlock(where_keys_are(state, there))
    with state.transaction(signing=True) as now:
        follow_settings(state, there, {change.key for change in changes})
        seal_settings(state, values, now, sealer(authority))
        seal_audit(state, authority)
    return changes
