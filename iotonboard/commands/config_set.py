"""``config set``: check one setting, seal or note it in the database, and write ``iotonboard.toml``, the view of it.

1. The value is checked, alone and together with the others.
2. A setting that is sealed needs the CA's key, unless the new value is tighter than the one in force.
3. In one transaction: the values and the trail. The file follows; the next command writes it where this one cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iotonboard.ca.authority import seal_audit, sealer
from iotonboard.ca.copies import refuse_copies
from iotonboard.state import config
from iotonboard.state.reach import refuse_wide_templates
from iotonboard.state.recorded_settings import needs_key, set_without_key
from iotonboard.state.setting_sets import TOPIC_SETTINGS, check_settings, follow_settings, where_keys_are
from iotonboard.state.settings_file import note_file, write_settings_file
from iotonboard.state.settings_seal import seal_settings, standing_values
from iotonboard.state.whereabouts import refuse_other_database

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.ca.authority import Authority
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Result:
    """The new value; ``kept`` is where the file of before was left because it had comments, or empty."""

    value: Any
    kept: str


def check_value(key: str, text: str) -> Any:
    """Check one value alone, and return what it stands for.

    Raises:
        UsageError: there is no such setting.
        PolicyError: it does not take that value.
    """
    return config.parse_value(key, config.split_list(key, text), "command line")


def set_value(
    state: State, key: str, text: str, unlock: Callable[[State], Authority], *, reach: bool = False
) -> Result:
    """Check and set one setting; the ACL follows when it depends on it. ``reach``: topics of other devices are meant.

    Raises:
        UsageError: there is no such setting.
        NotFoundError: there is no such user, group or folder on this machine.
        PolicyError: the value is not allowed, alone or with the others, or the file cannot be read.
        KeyUnavailableError: the passphrase is needed, and it is not there or wrong.
        ConflictError: it names an older copy of the database; or it shapes the ACL, and another copy of this state is
            at work, whose region stays.
        BusyError: the disk refuses.
    """
    value = check_value(key, text)
    if state.config.file.problems:
        raise state.config.file.problems[0]
    values = standing_values(state) | {key: value}
    if key == "acl.topics" and not reach:
        refuse_wide_templates(state, standing_values(state)[key], value)
    if key in TOPIC_SETTINGS:
        refuse_copies(state)
    there = check_settings(state.paths.root, values, {key})  # before whatever says to copy a file to the new place
    if key == "database_url":
        refuse_other_database(state, value)
    authority = unlock(where_keys_are(state, there)) if needs_key(state, key, value) else None
    with state.transaction(signing=authority is not None) as now:
        follow_settings(state, there, {key})
        if authority is None:
            set_without_key(state, key, value, now)
        else:
            seal_settings(state, values, now, sealer(authority))
        note_file(state)
        if authority is not None:
            seal_audit(state, authority)  # at the end: it seals what was changed before
    kept = write_settings_file(state, values, named=state.config.file.values)
    return Result(value, kept)
