"""``health``: named checks over state, keys, CRL, ACL, files and clock. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import IotOnboardError
from iotonboard.health.checks import CHECKS, FAILED, OK, Check

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
