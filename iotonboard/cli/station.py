"""The verb ``station``: ``trust``, ``list``, ``show``, ``remove`` and ``take``, at a head office."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.office_session import confirm_fingerprint, open_office, unlocker
from iotonboard.cli.options import ComparedOption, YesOption
from iotonboard.cli.session import Session, group, verb
from iotonboard.errors import UnpublishedError, UsageError
from iotonboard.model import SerialNumber, rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.commands.station_list import Station
    from iotonboard.commands.station_take import Refused
    from iotonboard.office.taking import Taken
    from iotonboard.store.registry.put_back import Known

app = group(
    "station",
    "Stations whose journals a head office takes.",
    example="iotonboard station trust line7 ca.pem",
)
_TOLD = 10  # lost certificates
StationArgument = Annotated[str, typer.Argument(metavar="NAME", help="What the station is called at the office.")]


@verb(app, "trust", example="iotonboard station trust line7 ca.pem --fingerprint 5e1f...")
def trust(
    session: Session,
    name: StationArgument,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The certificate of the station's CA.")],
    fingerprint: Annotated[
        str | None, typer.Option("--fingerprint", metavar="HEX", help="SHA-256 of it, as the station says it.")
    ] = None,
    yes: ComparedOption = False,
) -> int | None:
    """Believe the journals of a station from now on. Its CA's fingerprint is compared; a script names it."""
    from iotonboard.commands.station_trust import trust_station

    def confirm(ca: str, found: str) -> None:
        asked = "Does 'iotonboard ca status --json' at the station say the same?"
        if not yes:
            confirm_fingerprint(session, f"the CA {ca!r}", asked, found)

    with open_office(session) as office:
        result = trust_station(office, name, file, unlocker(session, office), fingerprint=fingerprint, confirm=confirm)
    status = "trusted" if result.is_new else "unchanged"
    values = {"station": name, "status": status, "ca": result.ca.short_name, "ca_fingerprint": result.ca.fingerprint}
    session.result(values, f"{name}\t{status}\t{result.ca.short_name}\t{result.ca.fingerprint}")
    if result.is_new:
        session.message("next: iotonboard station take FILE, with the station's first journal")
    return None


@verb(app, "list", example="iotonboard station list --json")
def list_all(session: Session) -> int | None:
    """List the stations, with their newest journals and when their CRLs end."""
    from iotonboard.commands.station_list import list_stations

    with open_office(session) as office:
        stations = list_stations(office)
    if session.json:
        for one in stations:
            output.write_json(session.command, _values(one))
        return None
    columns = ("station", "prefix", "devices", "revoked", "journal of", "row", "CRL ends")
    rows = [
        (
            one.name, one.prefix, str(one.note.devices), str(one.note.revoked), _time(one.created), str(one.until),
            _time(one.crl_ends),
        )
        for one in stations
    ]  # fmt: skip
    output.write_table(columns, rows, empty="no station is trusted yet: iotonboard station trust NAME ca.pem")
    return None


@verb(app, "show", example="iotonboard station show line7")
def show(session: Session, name: StationArgument) -> int | None:
    """Show what the office knows of a station."""
    from iotonboard.cli.office_conflicts import conflict_lines, conflict_values
    from iotonboard.commands.station_list import conflicts_at, show_station

    with open_office(session) as office:
        one, (conflicts, names) = show_station(office, name), conflicts_at(office, name)
    if session.json:
        values = {**_values(one), "conflicts": [conflict_values(each, names) for each in conflicts]}
        output.write_json(session.command, values)
        return None
    facts = (
        ("status", "removed" if one.is_removed else "trusted"),
        ("CA", one.fingerprint),
        *(("believed now", other) for other in one.fingerprints if one.fingerprints != (one.fingerprint,)),
        ("prefix", one.prefix),
        ("journals", f"{one.journals}, up to row {one.until} of its trail"),
        ("newest", _time(one.created)),
        ("devices", str(one.note.devices)),
        ("certificates", f"{one.note.certificates}, {one.note.revoked} revoked"),
        ("CRL ends", _time(one.crl_ends)),
    )
    if output.is_for_people():
        output.write_card(one.name, facts)
    else:
        for label, value in (("station", one.name), *facts):
            output.write_line(f"{label}\t{value}")
    for line in conflict_lines(conflicts, names):
        session.message(line)
    return None


def _time(moment: datetime | None) -> str:
    return "" if moment is None else rfc3339(moment)


def _values(one: Station) -> dict[str, object]:
    return {
        "station": one.name,
        "status": "removed" if one.is_removed else "trusted",
        "ca_fingerprint": one.fingerprint,
        "believed": list(one.fingerprints),
        "prefix": one.prefix,
        "journals": one.journals,
        "row": one.until,
        "journal_created": _time(one.created) or None,
        "devices": one.note.devices,
        "certificates": one.note.certificates,
        "revoked": one.note.revoked,
        "crl_ends": _time(one.crl_ends) or None,
    }


@verb(app, "prefix", example="iotonboard station prefix line7 line7-")
def prefix(
    session: Session,
    name: StationArgument,
    text: Annotated[str, typer.Argument(metavar="PREFIX", help="How the ids of its new devices begin.")] = "",
    none: Annotated[bool, typer.Option("--none", help="Any id again.")] = False,
) -> int | None:
    """Let a station register ids alone that begin so, so that no other station has them. Its next orders say it there.

    Devices that are there stay.
    """
    from iotonboard.commands.station_prefix import prefix_station

    if bool(text) == none:
        raise UsageError("name a prefix, or --none", hint="for example: iotonboard station prefix line7 line7-")
    with open_office(session) as office:
        result = prefix_station(office, name, text, unlocker(session, office))
    status = "changed" if result.is_new else "unchanged"
    values = {"station": name, "prefix": text, "status": status, "other_ids": result.others}
    session.result(values, f"{name}\t{text}\t{status}")
    if result.others:
        session.message(f"{output.counted(result.others, 'device')} of it with another beginning stay")
    if result.is_new:
        session.message("next: iotonboard order write --out DIR, and carry the file to the station")
    return None


@verb(app, "remove", example="iotonboard station remove line7 --yes")
def remove(session: Session, name: StationArgument, yes: YesOption = False) -> int | None:
    """Take no more journals of a station, and give nothing of it to brokers. What it told stays in the registry."""
    from iotonboard.commands.station_remove import remove_station

    with open_office(session) as office:
        session.confirm(f"Remove the station {name!r}? Its devices are let in by no broker any more.", yes=yes)
        remove_station(office, name)
    session.result({"station": name, "status": "removed"}, f"{name}\tremoved")
    session.message("next: iotonboard pack, for every broker")
    return None


@verb(app, "put-back", example="iotonboard station put-back line7 full.journal --yes")
def put_back(
    session: Session,
    name: StationArgument,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Its full journal: iotonboard journal --full.")],
    yes: YesOption = False,
) -> int | None:
    """Go on with a station that was put back from an older copy, where there is no newer one.

    Revocations that it does not know any more are denied and ordered again, and certificates that it lost are named.
    """
    from iotonboard.commands.station_put_back import put_back as run

    def ask() -> None:
        session.confirm(f"Take {name!r} as this journal tells, and forget what it told before?", yes=yes)

    with open_office(session) as office:
        result = run(office, name, file, unlocker(session, office), confirm=ask)
    values = {
        "station": name,
        "row": result.until,
        "revocations_ordered": [_lost_values(one) for one in result.ordered],
        "certificates_lost": [_lost_values(one) for one in result.lost],
    }
    what = f"{output.counted(len(result.ordered), 'revocation')} ordered again"
    session.result(values, f"{name}\tput back\tup to row {result.until}\t{what}\t{len(result.lost)} certificates lost")
    for one in result.lost[:_TOLD]:
        serial = SerialNumber.from_octets(one.serial).hex
        session.message(f"warning: the station lost the certificate {serial} of {one.holder!r}")
    if len(result.lost) > _TOLD:
        session.message(f"warning: {len(result.lost) - _TOLD} more; --json names all")
    if result.lost:
        session.message("next: register these devices at the station anew, or revoke them there with --unknown")
    return None


def _lost_values(one: Known) -> dict[str, object]:
    return {"id": one.holder, "serial": SerialNumber.from_octets(one.serial).hex, "reason": one.reason or None}


@verb(app, "take", example="iotonboard station take /media/usb")
def take(
    session: Session,
    paths: Annotated[
        list[str], typer.Argument(metavar="FILE|DIR...", help="Journals, or folders with files '*.journal'.")
    ],
) -> int | None:
    """Take journals of stations, in any order; what was taken before is passed over.

    One that is refused stops no other; the exit code is that of the first.
    """
    from iotonboard.cli.office_conflicts import conflict_lines, conflict_values
    from iotonboard.commands.station_list import conflicts_at
    from iotonboard.commands.station_take import archive_taken
    from iotonboard.commands.station_take import take as take_all

    exit_code, is_any = 0, False
    with open_office(session) as office:
        for one in take_all(office, paths, unlocker(session, office)):
            if isinstance(one, tuple):
                _tell_refused(session, one)
                exit_code = exit_code or one[1].exit_code
            else:
                _tell_taken(session, one)
                is_any = is_any or one.is_new
        conflicts, names = conflicts_at(office) if is_any else ([], {})
        unpublished = archive_taken(office)
    if conflicts and session.json:
        output.write_json(session.command, {"conflicts": [conflict_values(one, names) for one in conflicts]})
    for line in conflict_lines(conflicts, names):
        session.message(line)
    if unpublished and session.json:
        output.write_json(session.command, {"unpublished": output.unpublished_values(unpublished)})
    if unpublished:
        raise UnpublishedError(unpublished, finish="once that is mended, take the same files again")
    return exit_code


def _tell_taken(session: Session, one: Taken) -> None:
    status = "taken" if one.is_new else "known"
    values = {"path": one.path, "station": one.name, "status": status, "row": one.until, "rows": dict(one.rows)}
    values["closed"] = [
        {"order": order.id, "device_id": order.device_id, "serial": order.serial} for order in one.closed
    ]
    what = f"{one.rows.get('device', 0)} devices, {one.rows.get('certificate', 0)} certificates," if one.is_new else ""
    what = f"{what} {one.rows.get('revocation', 0)} revocations" if one.is_new else "taken before"
    session.result(values, f"{one.name}\t{status}\t{what}\tup to row {one.until}\t{one.path}")
    for order in one.closed:
        session.message(f"the revocation of {order.device_id!r} is on the CRL of {one.name!r}: its order is closed")


def _tell_refused(session: Session, refused: Refused) -> None:
    path, error = refused
    if session.json:
        values = {"path": path, "status": "failed", "error": output.error_values(error)}
        output.write_json(session.command, values)
    output.write_error(f"{path!r}: {error.message}", error.hint)
