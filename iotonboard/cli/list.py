"""The verb ``list``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from iotonboard.cli import output
from iotonboard.cli.left_over import is_office
from iotonboard.cli.office_session import refuse_at_office, refuse_at_station
from iotonboard.cli.options import CertificateFilesOption, CsvOption, ExcelOption, NamedDevicesArgument, StationOption
from iotonboard.cli.session import Session, verb
from iotonboard.cli.spreadsheet import check_form, write_csv
from iotonboard.cli.targets import meant_ids
from iotonboard.cli.values import device_values
from iotonboard.errors import UsageError
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from iotonboard.commands.list import Listed

app = typer.Typer()


@verb(app, "list", example="iotonboard list --status active --expiring-within 30 --json")
def list_devices(
    session: Session,
    ids: NamedDevicesArgument = None,
    status: Annotated[
        Literal["active", "expired", "on-hold", "revoked", "retired"] | None,
        typer.Option("--status", help="Only devices of this status."),
    ] = None,
    expiring_within: Annotated[
        int | None,
        typer.Option(
            "--expiring-within", min=0, max=36500, metavar="DAYS", help="Only devices that expire within DAYS."
        ),
    ] = None,
    attributes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Only with this attribute.")
    ] = None,
    old_ca: Annotated[
        bool, typer.Option("--old-ca", help="Only devices without a certificate of the CA that issues now.")
    ] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most N devices.")] = None,
    as_csv: CsvOption = False,
    excel: ExcelOption = False,
    certificates: CertificateFilesOption = None,
    station: StationOption = "",
) -> int | None:
    """List devices in the order of their ids, or those that are named, in the order of their names.

    At an office these are the devices of all stations.
    """
    from iotonboard.commands.list import Filter
    from iotonboard.commands.list import list_devices as find
    from iotonboard.enrolment.request import parse_attribute

    if old_ca and (status or expiring_within is not None or attributes):
        raise UsageError("--old-ca goes with no other filter", hint="leave the others out")
    in_csv = check_form(in_json=session.json, as_csv=as_csv, for_excel=excel)
    if (ids or certificates) and (old_ca or status or expiring_within is not None or attributes):
        raise UsageError("devices that are named go with no filter", hint="leave the one or the other out")
    pairs = tuple(parse_attribute(text) for text in attributes or ())
    if is_office(session.root):
        from iotonboard.cli.office_fleet import list_fleet
        from iotonboard.commands.office_list import Filter as FleetFilter

        refuse_at_office(old_ca=old_ca)
        files = tuple(certificates or ())
        chosen = FleetFilter(status, station, expiring_within, pairs, limit, tuple(ids or ()), files)
        list_fleet(session, chosen, in_csv=in_csv, for_excel=excel)
        return None
    refuse_at_station(station=station)
    with session.open_all() as cas:
        named = tuple(meant_ids(cas, ids, certificates))
        found = find(cas, Filter(status, expiring_within, pairs, limit, old_ca, named))
        if session.json:
            for one in found:
                more = {"ca": one.ca} if one.ca else {}
                output.write_json("list", device_values(one.device, one.status) | more)
        elif in_csv:
            columns = ("device_id", "status", "not_after", "name", "attributes")
            write_csv(columns, map(_csv_columns, found), for_excel=excel)
        else:
            output.write_table(("DEVICE", "STATUS", "NOT AFTER", "NAME"), map(_columns, found), empty="no such devices")
    return None


def _columns(one: Listed) -> tuple[str, str, str, str]:
    device = one.device
    not_after = rfc3339(device.certificates[0].validity.not_after) if device.certificates else ""
    return device.device_id, one.status, not_after, device.name


def _csv_columns(one: Listed) -> tuple[str, ...]:
    return *_columns(one), " ".join(f"{key}={value}" for key, value in one.device.attributes.items())
