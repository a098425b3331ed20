"""The verb ``health``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.complete import complete_check
from iotonboard.cli.help_command import meant
from iotonboard.cli.left_over import is_office
from iotonboard.cli.office_session import refuse_at_office
from iotonboard.cli.session import Session, verb
from iotonboard.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.health.difference import Difference
    from iotonboard.health.finding import Finding

if TYPE_CHECKING:
    from iotonboard.health.finding import Finding

app = typer.Typer()


@verb(app, "health", example="iotonboard health --json")
def health(
    session: Session,
    check: Annotated[
        list[str] | None,
        typer.Option("--check", metavar="NAME", help="Run this check only.", autocompletion=complete_check),
    ] = None,
    list_checks: Annotated[bool, typer.Option("--list", help="List the checks and exit.")] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Rebuild everything from certificates and trail; name each difference.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="As --deep, and rewrite what can be rebuilt; needs the passphrase.")
    ] = False,
) -> int | None:
    """Check state, keys, CRL, ACL, files and clock. Exit 9 when a check failed; a warning can wait and is exit 0."""
    if sum((bool(check), list_checks, deep or repair)) > 1:
        raise UsageError("--check, --list and --deep or --repair exclude each other", hint="choose one of them")
    if is_office(session.root):
        from iotonboard.cli.office_health import deep_health_of_office, health_of_office

        refuse_at_office(repair=repair)
        return deep_health_of_office(session) if deep else health_of_office(session, check or (), only_list=list_checks)
    if deep or repair:
        return _inspect(session, repair=repair)
    from iotonboard.commands.health import check as run
    from iotonboard.health.checks.table import CHECKS

    if list_checks:
        print_checks(session, [(one.name, one.about) for one in CHECKS])
        return None
    names = [one.name for one in CHECKS]
    refuse_unknown(check or (), names)
    with session.open_state() as state:
        findings = run(state, check or ())
    return print_findings(session, findings)


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
        rows = [(one.name, one.status, one.message, one.hint) for one in findings]
        output.write_table(("CHECK", "STATUS", "WHAT", "WHAT TO DO"), rows, empty="no checks")
    return 9 if status is Status.FAILED else None


def _inspect(session: Session, *, repair: bool) -> int | None:
    from iotonboard.commands import health as command

    with session.open_all() as cas:
        if repair:
            repaired = command.repair_all(cas, session.unlocker)
            differences = repaired.left
            if repaired.found:
                session.message(f"{repaired.found} differences found, {len(differences)} left")
        else:
            differences = command.find_all_differences(cas)
    if differences and not repair:
        session.message("hint: 'iotonboard health --repair' rewrites what can be rebuilt; a backup has the rest")
    return print_differences(session, differences)


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
