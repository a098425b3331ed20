"""The verb ``health``."""

from __future__ import annotations

from typing import Annotated

import typer

from iotonboard.cli.complete import complete_check
from iotonboard.cli.findings import print_checks, print_differences, print_findings, refuse_unknown
from iotonboard.cli.left_over import is_office
from iotonboard.cli.office_session import refuse_at_office
from iotonboard.cli.session import Session, verb
from iotonboard.errors import UsageError

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
