"""Checks of the settings: those that are in force are the sealed ones, and the file says the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.health.finding import Outcome, failed, ok, warning
from iotonboard.state.setting_table import SETTINGS

if TYPE_CHECKING:
    from iotonboard.state.state import State


def settings(state: State) -> Outcome:
    """The CA signed the settings, no row was slipped in beside them, and the file says what they say."""
    found, recorded = state.config, state.config.recorded
    if recorded.problem:
        return failed(recorded.problem.message, recorded.problem.hint)
    if found.file.problems:
        return failed(found.file.problems[0].message, found.file.problems[0].hint)
    if found.differing:
        return failed(
            f"the settings file says something else than what is sealed: {', '.join(found.differing)}",
            "type: iotonboard config accept, or iotonboard config write",
        )
    if slipped := list(dict.fromkeys((*recorded.slipped_in, *_slipped_in(state)))):
        return failed(
            "the database has a value that no command recorded, or that is neither sealed nor tighter than the sealed"
            f" one: {', '.join(slipped)}",
            "it is not followed; type: iotonboard config accept",
        )
    if recorded.sealed is None:
        return warning("no setting is sealed yet", "the next command that asks for the passphrase does it")
    tightened = [key for key, one in found.standing.items() if one.origin == "tightened"]
    return ok(f"sealed; tightened without the passphrase: {', '.join(tightened)}" if tightened else "sealed")


def _slipped_in(state: State) -> list[str]:
    noted, standing = state.config.recorded.noted or {}, state.config.standing
    return [key for key, value in noted.items() if SETTINGS[key].is_sealed and standing[key].value != value]
