"""The verb ``show``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import typer

from iotonboard.cli import output
from iotonboard.cli.left_over import is_office
from iotonboard.cli.office_session import refuse_at_office, refuse_at_station
from iotonboard.cli.options import (
    BatchOption,
    CertificateFilesOption,
    IdColumnOption,
    NamedDevicesArgument,
    StationOption,
)
from iotonboard.cli.session import Session, verb
from iotonboard.cli.targets import Told, either, meant_ids, named_targets
from iotonboard.cli.values import (
    added_value,
    certificate_status,
    certificate_values,
    delivery_values,
    delivery_words,
    device_values,
)
from iotonboard.model import MQTT_PROFILE, rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.commands.show import CertificateLife, Shown

app = typer.Typer()


@verb(app, "show", example="iotonboard show press-17 --json")
def show(
    session: Session,
    ids: NamedDevicesArgument = None,
    batch: BatchOption = None,
    id_column: IdColumnOption = "",
    certificates: CertificateFilesOption = None,
    station: StationOption = "",
) -> int | None:
    """Show devices, or those of a list, with all certificates and deliveries."""
    if is_office(session.root):
        from iotonboard.cli.office_fleet import show_fleet

        refuse_at_office(batch=batch, id_column=id_column)
        show_fleet(session, ids or (), certificates or (), station)
        return None
    refuse_at_station(station=station)
    from iotonboard.commands.show import show as look_up
    from iotonboard.enrolment.each_device import for_each

    if ids or not certificates:
        either(ids, batch, "show press-17")
    told = Told(session)
    with session.open_all() as cas:
        targets = named_targets(session, meant_ids(cas, ids, certificates), batch, id_column)
        for state, run in cas.runs(targets):
            for shown in told.done(for_each(run, partial(look_up, state))):
                if session.json:
                    output.write_json("show", _values(shown) | added_value(state))
                else:
                    _print(shown)
    return told.end()


def _values(shown: Shown) -> dict[str, object]:
    return {
        **device_values(shown.device, shown.device.status(shown.now)),
        "topics": [f"{rule.access}:{rule.topic}" for rule in shown.topics],
        "deliveries": [delivery_values(delivery, status) for delivery, status in shown.deliveries],
        "certificates": [
            {
                **certificate_values(one.certificate, shown.now),
                **{key: rfc3339(moment) if moment else None for key, moment in _moments(one).items()},
                "proved": one.is_proved if one.confirmed_at else None,
                "ca_fingerprint": one.ca_fingerprint,
                "profile": one.profile,
                "arrivals": [
                    {
                        "broker": at.broker,
                        "in_place": at.is_there if at.time else None,
                        "is_read": at.is_read if at.time else None,
                        "time": rfc3339(at.time) if at.time else None,
                    }
                    for at in one.arrivals
                ],
            }
            for one in shown.certificates
        ],
    }


def _moments(one: CertificateLife) -> dict[str, datetime | None]:
    return {"confirmed_at": one.confirmed_at, "purged_at": one.purged_at, "revoke_after": one.revoke_after}


def _print(shown: Shown) -> None:
    device = shown.device
    status, created = device.status(shown.now), rfc3339(device.created_at)
    topics = [("topic", f"{rule.access}:{rule.topic}") for rule in shown.topics]
    if output.is_for_people():
        facts = (("name", device.name), ("created", created), *device.attributes.items(), *topics)
        output.write_card(f"{device.device_id}\t{status}", facts)
    else:
        facts = (("device_id", device.device_id), ("name", device.name), ("status", status), ("created_at", created))
        for key, value in (*facts, *device.attributes.items(), *topics):
            output.write_line(f"{key}\t{value}")
    for one in shown.certificates:
        output.write_line("\t".join(_certificate_row(one, shown.now)))
    for delivery, status in shown.deliveries:
        output.write_line(
            f"delivery\t{delivery_words(delivery, status)}\t{rfc3339(delivery.created_at)}\t{delivery.place}"
        )


def _certificate_row(one: CertificateLife, now: datetime) -> tuple[str, ...]:
    certificate = one.certificate
    reason = f" ({certificate.revocation.reason.value})" if certificate.revocation else ""
    moments = [
        f"{key.removesuffix('_at').replace('_', ' ')} {rfc3339(moment)}"
        for key, moment in _moments(one).items()
        if moment
    ]
    if one.confirmed_at:
        moments[0] += " (proved)" if one.is_proved else " (not proved)"
    moments += [at.text for at in one.arrivals]
    moments += [f"fingerprint {certificate.fingerprint}"] if output.is_for_people() else []
    moments += [f"profile {one.profile}"] if one.profile != MQTT_PROFILE else []
    until = f"until {rfc3339(certificate.validity.not_after)}"
    return ("certificate", certificate.serial.hex, certificate_status(certificate, now) + reason, until, *moments)
