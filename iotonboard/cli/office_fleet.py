"""``list`` and ``show`` at an office: as at a station, with the station in front."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.cli import output
from iotonboard.cli.office_session import open_office
from iotonboard.cli.spreadsheet import write_csv
from iotonboard.errors import UsageError
from iotonboard.model import MQTT_PROFILE, certificate_json, rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iotonboard.cli.session import Session
    from iotonboard.commands.office_list import Filter, Listed
    from iotonboard.commands.office_show import Shown
    from iotonboard.store.registry.fleet import FleetCertificate, FleetDevice

_COLUMNS = ("station", "device_id", "status", "not_after", "name", "attributes")


def list_fleet(session: Session, chosen: Filter, *, in_csv: bool, for_excel: bool) -> None:
    """Print the devices of all stations."""
    from iotonboard.commands.office_list import list_fleet as find

    with open_office(session) as office:
        found = find(office, chosen)
        if session.json:
            for one in found:
                output.write_json("list", _device_values(one.device, one.status))
        elif in_csv:
            write_csv(_COLUMNS, map(_columns, found), for_excel=for_excel)
        else:
            heads = [column.replace("_", " ").upper() for column in ("station", "device", *_COLUMNS[2:-1])]
            output.write_table(heads, (_columns(one)[:-1] for one in found), empty="no such devices")


def _columns(one: Listed) -> tuple[str, ...]:
    device = one.device
    not_after = rfc3339(device.certificates[0].validity.not_after) if device.certificates else ""
    attributes = " ".join(f"{key}={value}" for key, value in device.attributes.items())
    return device.station, device.device_id, one.status, not_after, device.name, attributes


def _device_values(device: FleetDevice, status: str) -> dict[str, object]:
    newest = device.certificates[0] if device.certificates else None
    return {
        "station": device.station,
        "device_id": device.device_id,
        "name": device.name,
        "status": status,
        "created_at": rfc3339(device.created_at),
        "serial": newest.serial.hex if newest else None,
        "not_after": rfc3339(newest.validity.not_after) if newest else None,
        "attributes": dict(device.attributes),
    }


def show_fleet(session: Session, ids: Sequence[str], certificates: Sequence[str], station: str) -> None:
    """Print devices with what their stations told of them."""
    from iotonboard.commands.office_show import show_fleet as look_up

    if not ids and not certificates:
        raise UsageError("which device?", hint="iotonboard show press-17")
    with open_office(session) as office:
        for shown in look_up(office, ids, certificates, station=station):
            if session.json:
                output.write_json("show", _values(shown))
            else:
                _print(shown)
            if shown.is_double:
                session.message(
                    f"warning: {shown.device.device_id!r} lives at more stations than one, and no broker lets it in;"
                    " revoke one of the two: iotonboard revoke ID --station NAME"
                )


def _values(shown: Shown) -> dict[str, object]:
    return {
        **_device_values(shown.device, shown.device.status(shown.now)),
        "is_double": shown.is_double,
        "topics": [f"{rule.access}:{rule.topic}" for rule in shown.topics],
        "certificates": [_certificate_values(one, shown) for one in shown.device.certificates],
    }


def _certificate_values(one: FleetCertificate, shown: Shown) -> dict[str, object]:
    revocation = one.revocation
    return {
        **certificate_json(one.serial, one.validity, one.fingerprint),
        "status": _status(one, shown.now),
        "revocation_date": rfc3339(revocation.revocation_date) if revocation else None,
        "reason": revocation.reason.value if revocation else None,
        "is_ordered": one.is_ordered,
        "ca_fingerprint": shown.cas.get(one.ca, ""),
        "profile": one.profile,
    }


def _status(one: FleetCertificate, now: datetime) -> str:
    if one.revocation:
        return "revoked"
    return "active" if one.validity.not_after >= now else "expired"


def _print(shown: Shown) -> None:
    device = shown.device
    status, created = device.status(shown.now), rfc3339(device.created_at)
    topics = [("topic", f"{rule.access}:{rule.topic}") for rule in shown.topics]
    facts = [("name", device.name), ("created", created), *device.attributes.items(), *topics]
    if output.is_for_people():
        output.write_card(f"{device.device_id}\t{status}", [("station", device.station), *facts])
    else:
        facts[1:2] = [("status", status), ("created_at", created)]
        for key, value in (("station", device.station), ("device_id", device.device_id), *facts):
            output.write_line(f"{key}\t{value}")
    for one in device.certificates:
        output.write_line("\t".join(_certificate_row(one, shown.now)))


def _certificate_row(one: FleetCertificate, now: datetime) -> tuple[str, ...]:
    reason = f" ({one.revocation.reason.value})" if one.revocation else ""
    more = ["ordered, not on the station's list yet"] if one.is_ordered else []
    more += [f"profile {one.profile}"] if one.profile != MQTT_PROFILE else []
    until = f"until {rfc3339(one.validity.not_after)}"
    return ("certificate", one.serial.hex, _status(one, now) + reason, until, *more)
