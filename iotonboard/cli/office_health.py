"""``health`` at an office."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.cli.findings import print_checks, print_differences, print_findings, refuse_unknown
from iotonboard.cli.office_session import open_office, unlocker
from iotonboard.errors import BusyError, StateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.cli.session import Session


def health_of_office(session: Session, names: Sequence[str], *, only_list: bool) -> int | None:
    """Look at the office and its stations; a registry that cannot be opened is a finding too."""
    from iotonboard.commands import office_health as command

    if only_list:
        print_checks(session, command.checks())
        return None
    refuse_unknown(names, [name for name, _ in command.checks()])
    try:
        with open_office(session) as office:
            findings = command.check(office, names)
    except (BusyError, StateError) as error:
        findings = [command.unreachable(error)]
    return print_findings(session, findings)


def deep_health_of_office(session: Session) -> int | None:
    """Hold the registry's rows against the journals that lie beside them."""
    from iotonboard.commands.office_health import find_differences

    with open_office(session) as office:
        differences = find_differences(office, unlocker(session, office))
    return print_differences(session, differences)
