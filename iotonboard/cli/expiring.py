"""The verb ``expiring``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.left_over import is_office
from iotonboard.cli.office_session import open_office
from iotonboard.cli.options import CsvOption, ExcelOption
from iotonboard.cli.session import Session, clock, verb
from iotonboard.cli.spreadsheet import check_form, write_csv
from iotonboard.errors import UsageError
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.health.expiry import Expiring

app = typer.Typer()


@verb(app, "expiring", example="iotonboard expiring --within 60")
def expiring(
    session: Session,
    within: Annotated[
        int | None, typer.Option("--within", min=0, max=36500, metavar="DAYS", help="Instead of the configured days.")
    ] = None,
    as_csv: CsvOption = False,
    excel: ExcelOption = False,
    ics: Annotated[str | None, typer.Option("--ics", metavar="FILE", help="Write a calendar; '-' is stdout.")] = None,
    prometheus: Annotated[
        str | None, typer.Option("--prometheus", metavar="FILE", help="Write metrics; '-' is stdout.")
    ] = None,
    crl: Annotated[
        list[str] | None, typer.Option("--crl", metavar="FILE", help="A broker's CRLs, not a state.")
    ] = None,
    ca: Annotated[list[str] | None, typer.Option("--ca", metavar="FILE", help="A broker's CA file, no state.")] = None,
    cert: Annotated[
        list[str] | None, typer.Option("--cert", metavar="FILE", help="A broker's certificate, no state.")
    ] = None,
) -> int | None:
    """Show what will expire: devices, brokers, CA and CRL. Exit 9 when something is due. At an office, of all stations.

    With --crl, --ca or --cert it watches those files alone, on a broker's machine, where there is no state.
    """
    from iotonboard.health.expiry import render_prometheus

    in_csv = check_form(in_json=session.json, as_csv=as_csv, for_excel=excel)
    if sum((session.json, in_csv, ics == "-", prometheus == "-")) > 1:
        raise UsageError("stdout takes one form", hint="choose one of --json, --csv, --ics - and --prometheus -")
    files = {"ics": ics, "prometheus": None if prometheus == "-" else prometheus}
    if crl or ca or cert:
        from iotonboard.commands.expiring import find_in_files

        found = find_in_files({"crl": crl or (), "ca": ca or (), "cert": cert or ()}, within, clock(), **files)
    elif is_office(session.root):
        from iotonboard.commands.office_expiring import find_fleet_expiring

        with open_office(session) as office:
            found = find_fleet_expiring(office, within, **files)
    else:
        from iotonboard.commands.expiring import find_expiring

        with session.open_all() as cas:
            found = find_expiring(cas, within, **files)
    if ics == "-":
        sys.stdout.write(found.calendar())
    elif prometheus == "-":
        sys.stdout.write(render_prometheus(found.due, found.standing))
    else:
        _print(session, found.due, in_csv=in_csv, for_excel=excel)
    return 9 if found.due else None


def _print(session: Session, due: Sequence[Expiring], *, in_csv: bool, for_excel: bool) -> None:
    front = ("station",) if is_office(session.root) else ()
    columns = (*front, "kind", "name", "not_after", "key")
    rows = [(item.station, item.kind, item.name, rfc3339(item.not_after), item.key)[-len(columns) :] for item in due]
    if session.json:
        for row in rows:
            output.write_json("expiring", dict(zip(columns, row, strict=True)))
    elif in_csv:
        write_csv(columns, rows, for_excel=for_excel)
    else:
        output.write_table([column.replace("_", " ").upper() for column in columns], rows, empty="nothing is due")
        for remedy in dict.fromkeys(item.remedy for item in due):
            session.message(f"next: {remedy}")
