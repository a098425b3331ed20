"""The verb ``show``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from iotonboard.cli import output
from iotonboard.cli.options import DeviceArgument
from iotonboard.cli.session import Session, verb
from iotonboard.cli.values import certificate_status, certificate_values, delivery_values, device_values
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from iotonboard.model import CertificateRecord
    from iotonboard.store.store import Store

app = typer.Typer()


@verb(app, "show", example="iotonboard show press-17 --json")
def show(session: Session, device_id: DeviceArgument) -> int | None:
    """Show one device with all its certificates and deliveries."""
    from iotonboard.store.deliveries import deliveries_of, status_of
    from iotonboard.store.devices import device_named, device_record
    from iotonboard.store.issuers import all_issuers, issuer_of
    from iotonboard.store.topics import device_topics

    with session.open_state() as state:
        device = device_record(state.store, device_id)
        row = device_named(state.store, device_id)
        topics = [f"{rule.access.value}:{rule.topic}" for rule in device_topics(state.store, row)]
        now = state.clock()
        handed = [delivery_values(one, status_of(one, now)) for one in deliveries_of(state.store, row)]
        fates = {one.serial: _fate(state.store, one) for one in device.certificates}
        cas = {row.id: row.fingerprint for row in all_issuers(state.store)}
        issuers = {one.serial: cas[issuer_of(state.store, one.serial)] for one in device.certificates}
    values = {**device_values(device, now), "topics": topics, "deliveries": handed}
    values["certificates"] = [
        certificate_values(one, now) | fates[one.serial] | {"ca_fingerprint": issuers[one.serial]}
        for one in device.certificates
    ]
    if session.json:
        output.write_json("show", values)
        return None
    for key in ("device_id", "name", "status", "created_at"):
        output.write_line(f"{key}\t{values[key]}")
    for key, value in device.attributes.items():
        output.write_line(f"{key}\t{value}")
    for topic in topics:
        output.write_line(f"topic\t{topic}")
    rows = []
    for certificate in device.certificates:
        reason = f" ({certificate.revocation.reason.value})" if certificate.revocation else ""
        status, until = certificate_status(certificate, now), rfc3339(certificate.validity.not_after)
        fate = [
            f"{key.removesuffix('_at').replace('_', ' ')} {moment}"
            for key, moment in fates[certificate.serial].items()
            if moment
        ]
        rows.append(("certificate", certificate.serial.hex, status + reason, f"until {until}", *fate))
    output.write_table([""] * max(map(len, rows), default=0), rows)
    for delivery in handed:
        output.write_line(f"delivery\t{delivery['status']}\t{delivery['created_at']}\t{delivery['path']}")
    return None


def _fate(store: Store, certificate: CertificateRecord) -> dict[str, object]:
    """When a certificate was confirmed, its secrets were purged, and when it ends because it was renewed."""
    from iotonboard.store.certificates import certificate_row
    from iotonboard.store.deliveries import confirmed_at
    from iotonboard.store.overlaps import overlap_end
    from iotonboard.store.secrets import purged_at

    row = certificate_row(store, certificate.serial)
    confirmed, purged = confirmed_at(store, row), purged_at(store, row)
    ends = None if certificate.revocation else overlap_end(store, row)
    return {
        "confirmed_at": rfc3339(confirmed) if confirmed else None,
        "purged_at": rfc3339(purged) if purged else None,
        "revoke_after": rfc3339(ends) if ends else None,
    }
