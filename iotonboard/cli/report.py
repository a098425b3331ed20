"""The verb ``report``."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from iotonboard.cli import output
from iotonboard.cli.session import Session, verb
from iotonboard.errors import UsageError

app = typer.Typer()


@verb(app, "report", example="iotonboard report --out report.html")
def report(
    session: Session,
    out: Annotated[str | None, typer.Option("--out", metavar="FILE", help="The HTML file; '-' is stdout.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> int | None:
    """Write a page to look at: one HTML file without scripts that works from a USB stick and prints on A4."""
    from iotonboard.commands.report import gather
    from iotonboard.files import PRIVATE, refuse_existing, write_atomic
    from iotonboard.health.report.page import render_page

    if out is None and not session.json:
        raise UsageError("where shall the page go?", hint="name a file with --out, or ask for --json")
    if out not in (None, "-") and not force:
        refuse_existing(out or "")
    with session.open_state() as state:
        facts = gather(state)
    if out == "-":
        sys.stdout.write(render_page(facts))
    elif out is not None:
        write_atomic(out, render_page(facts).encode("utf-8"), PRIVATE)
    if session.json:
        output.write_json("report", {"path": out, **_plain(facts)})
    elif out != "-":
        output.write_line(f"{out}\t{facts.devices} devices")
    return None


def _plain(facts: Any) -> dict[str, Any]:
    from dataclasses import asdict
    from datetime import datetime

    from iotonboard.model import rfc3339

    def simple(value: Any) -> Any:
        if isinstance(value, datetime):
            return rfc3339(value)
        if isinstance(value, dict):
            return {key: simple(inner) for key, inner in value.items()}
        return [simple(inner) for inner in value] if isinstance(value, list | tuple) else value

    plain: dict[str, Any] = simple(asdict(facts))
    return plain
