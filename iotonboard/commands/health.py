"""``health``: named checks over state, keys, CRL, ACL, files and clock. Nothing is changed."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import IotOnboardError
from iotonboard.health.checks import CHECKS, FAILED, OK, Check
from iotonboard.store.store import database_error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iotonboard.state.state import State

__all__ = ["CHECKS", "FAILED", "OK", "Finding", "run_checks"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw. ``hint`` says what to type when it is not ``ok``."""

    name: str
    status: str
    message: str
    hint: str = ""


def run_checks(state: State, names: Iterable[str] = ()) -> list[Finding]:
    """Run the named checks, or all of them; a check that cannot run has failed."""
    chosen = set(names)
    return [_run(state, check) for check in CHECKS if not chosen or check.name in chosen]


def _run(state: State, check: Check) -> Finding:
    try:
        return Finding(check.name, *check.run(state))
    except IotOnboardError as error:
        return Finding(check.name, FAILED, error.message, error.hint)
    except sqlite3.Error as error:
        problem = database_error(error, state.paths.database)
        return Finding(check.name, FAILED, problem.message, problem.hint)
