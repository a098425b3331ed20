"""The verb ``report``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iotonboard.cli import output
from iotonboard.cli.left_over import is_office
from iotonboard.cli.office_session import open_office
from iotonboard.cli.options import ForceOption
from iotonboard.cli.session import Session, verb
from iotonboard.errors import UsageError
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from iotonboard.health.report.facts import Facts
    from iotonboard.health.report.fleet_page import FleetFacts

app = typer.Typer()


@verb(app, "report", example="iotonboard report --out report.html")
def report(
    session: Session,
    out: Annotated[str | None, typer.Option("--out", metavar="FILE", help="The HTML file; '-' is stdout.")] = None,
    force: ForceOption = False,
) -> int | None:
    """Write a page to look at: one HTML file without scripts that works from a USB stick and prints on A4."""
    if out is None and not session.json:
        raise UsageError("where shall the page go?", hint="name a file with --out, or ask for --json")
    facts: Facts | FleetFacts
    if is_office(session.root):
        from iotonboard.commands.office_report import report as make_fleet_report
        from iotonboard.health.report.fleet_page import render_fleet_page

        with open_office(session) as office:
            facts = made = make_fleet_report(office, None if out == "-" else out, force=force)
        page = render_fleet_page(made) if out == "-" else ""
    else:
        from iotonboard.commands.report import report as make_report
        from iotonboard.health.report.page import render_page

        with session.open_state() as state:
            facts = of_state = make_report(state, None if out == "-" else out, force=force)
        page = render_page(of_state) if out == "-" else ""
    sys.stdout.write(page)
    if session.json:
        output.write_json("report", {"path": out, **_plain(facts)})
    elif out != "-":
        output.write_line(f"{out}\t{output.counted(facts.devices, 'device')}")
    if out not in (None, "-"):
        session.message(f"next: open {out} in a browser; it needs no network")
    return None


def _plain(facts: Facts | FleetFacts) -> dict[str, Any]:
    def simple(value: Any) -> Any:
        if isinstance(value, datetime):
            return rfc3339(value)
        if isinstance(value, dict):
            return {key: simple(inner) for key, inner in value.items()}
        return [simple(inner) for inner in value] if isinstance(value, list | tuple) else value

    plain: dict[str, Any] = simple(asdict(facts))
    return plain
