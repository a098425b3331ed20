"""``order sign``, ``list``, ``withdraw`` and ``write`` at an office."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from iotonboard.cli import output
from iotonboard.cli.office_session import open_office, unlocker
from iotonboard.model import parse_moment, rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.cli.session import Session
    from iotonboard.office.ordered import Ordered, Production, Revocation

_CARRY = "next: iotonboard order write --out DIR, and at the station: iotonboard order take DIR"


def sign(session: Session, station: str, devices: int, profile: str, until: str) -> None:
    """Let a station make devices."""
    from iotonboard.commands.order_sign import sign as command

    end = parse_moment(until)
    with open_office(session) as office:
        order = command(office, station, devices, profile, end, unlocker(session, office))
    values = {
        "order": order.id,
        "station": station,
        "devices": order.devices,
        "profile": order.profile,
        "until": rfc3339(end),
    }
    what = f"{output.counted(devices, 'device')} of {order.profile or 'any profile'}"
    session.result(values, f"order {order.id}\t{station}\t{what}\tuntil {rfc3339(end)}")
    session.message(_CARRY)


def withdraw(session: Session, number: int) -> None:
    """End an order."""
    from iotonboard.commands.order_withdraw import withdraw as command

    with open_office(session) as office:
        order = command(office, number)
        station = office.decisions.stations[order.station].name
    session.result(
        {"order": number, "station": station, "status": "withdrawn"}, f"order {number}\t{station}\twithdrawn"
    )
    session.message(f"{_CARRY}; until then it goes on making devices under it")


def write(session: Session, folder: str, stations: Sequence[str]) -> None:
    """Write the files."""
    from iotonboard.commands.order_write import write_orders

    with open_office(session) as office:
        written = write_orders(office, folder, stations, unlocker(session, office))
    for one in written:
        values = {
            "station": one.station,
            "path": one.path,
            "orders": one.number,
            "revocations": one.revocations,
            "production": one.production,
        }
        what = f"{output.counted(one.revocations, 'revocation')}, {one.production} orders to make devices"
        session.result(values, f"{one.station}\torders {one.number}\t{what}\t{one.path}")
    session.message(f"next: at each station: iotonboard order take {shlex.quote(folder)}")


def list_all(session: Session) -> None:
    """Print what was ordered of all stations."""
    from iotonboard.commands.office_order_list import list_orders

    with open_office(session) as office:
        found = list_orders(office)
    if session.json:
        values = {
            "production": [_production_values(one) for one in found.production],
            "revocations": [_revocation_values(one) for one in found.revocations],
            "without_order": found.without,
        }
        output.write_json(session.command, values)
        return
    columns = ("ORDER", "STATION", "WHAT", "DEVICES", "FOR", "TIME", "STATUS")
    output.write_table(columns, _rows(found), empty="nothing is ordered")
    for station, count in found.without.items():
        if count:
            what = output.counted(count, "device")
            session.message(f"{station!r} made {what} under no order since its first one")


def _rows(found: Ordered) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        (str(one.id), one.station, "make", f"{one.made} of {one.devices}", one.profile or "any profile",
         rfc3339(one.until), one.status)
        for one in found.production
    ]  # fmt: skip
    return rows + [
        (str(one.id), one.station, "revoke", one.device_id, one.reason, rfc3339(one.time), _status(one))
        for one in found.revocations
    ]


def _status(one: Revocation) -> str:
    return "open" if one.crl_number is None else f"on CRL {one.crl_number}"


def _production_values(one: Production) -> dict[str, object]:
    return {
        "order": one.id,
        "station": one.station,
        "devices": one.devices,
        "made": one.made,
        "profile": one.profile,
        "until": rfc3339(one.until),
        "status": one.status,
    }


def _revocation_values(one: Revocation) -> dict[str, object]:
    return {
        "order": one.id,
        "station": one.station,
        "serial": one.serial,
        "device_id": one.device_id,
        "reason": one.reason,
        "ordered_at": rfc3339(one.time),
        "status": "open" if one.crl_number is None else "closed",
        "crl_number": one.crl_number,
    }
