"""What a check of ``health`` found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Status(StrEnum):
    """How bad it is. A warning can wait."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was seen. ``hint`` says what to type when it is not ``ok``."""

    status: Status
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """An outcome with the name of the check that it is of."""

    name: str
    status: Status
    message: str
    hint: str


def worst(findings: Iterable[Finding]) -> Status:
    """The status of them all together."""
    found = {finding.status for finding in findings}
    return next((status for status in (Status.FAILED, Status.WARNING) if status in found), Status.OK)


def ok(message: str) -> Outcome:
    """All is well; the message says what was looked at."""
    return Outcome(Status.OK, message)


def warning(message: str, hint: str) -> Outcome:
    """Something can wait, but not for ever."""
    return Outcome(Status.WARNING, message, hint)


def failed(message: str, hint: str) -> Outcome:
    """Something is wrong now."""
    return Outcome(Status.FAILED, message, hint)
