"""What ``health`` found, as a station's and an office's are printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.cli import output
from iotonboard.cli.help_command import meant
from iotonboard.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.cli.session import Session
    from iotonboard.health.difference import Difference
    from iotonboard.health.finding import Finding


def print_checks(session: Session, checks: Sequence[tuple[str, str]]) -> None:
    """Print what checks there are."""
    if session.json:
        output.write_json("health", {"checks": [{"name": name, "about": about} for name, about in checks]})
    else:
        output.write_table(("CHECK", "WHAT"), checks, empty="no checks")


def refuse_unknown(checks: Sequence[str], names: Sequence[str]) -> None:
    """Refuse a check that there is not.

    Raises:
        NotFoundError: one is none of ``names``.
    """
    if unknown := next((name for name in checks if name not in names), ""):
        raise NotFoundError(f"there is no check {unknown!r}", hint=meant(unknown, names, "iotonboard health --list"))


def print_findings(session: Session, findings: Sequence[Finding]) -> int | None:
    """Print what was found; returns the exit code."""
    from iotonboard.health.finding import Status, worst

    status = worst(findings)
    if session.json:
        checks = [
            {"name": one.name, "status": one.status, "message": one.message, "hint": one.hint} for one in findings
        ]
        output.write_json("health", {"status": status, "checks": checks})
    else:
        rows = [(one.name, _status(one), one.message, one.hint) for one in findings]
        output.write_table(("CHECK", "STATUS", "WHAT", "WHAT TO DO"), rows, empty="no checks")
    return 9 if status is Status.FAILED else None


def _status(finding: Finding) -> str:
    """The word for people: nothing is well of which nothing was looked at."""
    is_unchecked = finding.message.startswith("not checked") and output.is_for_people()
    return "-" if is_unchecked else finding.status


def print_differences(session: Session, differences: Sequence[Difference]) -> int | None:
    """Print what is not as it was recorded; returns the exit code."""
    if session.json:
        rows = [{"kind": one.kind, "subject": one.subject, "message": one.message} for one in differences]
        output.write_json("health", {"status": "failed" if differences else "ok", "differences": rows})
    elif differences:
        lines = ((one.kind, one.subject, one.message) for one in differences)
        output.write_table(("KIND", "WHERE", "WHAT"), lines, empty="no differences")
    else:
        output.write_line("everything is as it was recorded")
    return 9 if differences else None
