"""Records as they appear in JSON, the same wherever they do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from iotonboard.cli import output
from iotonboard.model import certificate_json, rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.model import CertificateRecord, DeviceRecord
    from iotonboard.state.state import State
    from iotonboard.store.deliveries import Delivery


def added_value(state: State) -> dict[str, object]:
    """The name of the added CA that something is of; nothing for the CA that brokers trust."""
    return {"ca": os.path.basename(state.paths.root)} if state.main else {}


def device_values(device: DeviceRecord, status: str) -> dict[str, object]:
    """A device with its newest certificate."""
    newest = device.certificates[0] if device.certificates else None
    return {
        "device_id": device.device_id,
        "name": device.name,
        "status": status,
        "created_at": rfc3339(device.created_at),
        "serial": newest.serial.hex if newest else None,
        "not_after": rfc3339(newest.validity.not_after) if newest else None,
        "attributes": dict(device.attributes),
    }


def certificate_values(certificate: CertificateRecord, now: datetime) -> dict[str, object]:
    """A certificate with its revocation."""
    revocation = certificate.revocation
    return {
        **certificate_json(certificate.serial, certificate.validity, certificate.fingerprint),
        "status": certificate_status(certificate, now),
        "revocation_date": rfc3339(revocation.revocation_date) if revocation else None,
        "reason": revocation.reason.value if revocation else None,
    }


def certificate_status(certificate: CertificateRecord, now: datetime) -> str:
    """One of ``active``, ``expired`` and ``revoked``."""
    if certificate.revocation:
        return "revoked"
    return "active" if certificate.validity.not_after >= now else "expired"


def delivery_words(delivery: Delivery, status: str) -> str:
    """The status of a delivery; for people with whether the device proved that it has it, where somebody confirmed."""
    said = {True: " (proved)", False: " (not proved)", None: ""}[delivery.is_proved]
    return status + said if output.is_for_people() else status


def delivery_values(delivery: Delivery, status: str) -> dict[str, object]:
    """A bundle that was handed over."""
    return {
        "device_id": delivery.device_id,
        "serial": delivery.serial.hex,
        "status": status,
        "proved": delivery.is_proved,
        "created_at": rfc3339(delivery.created_at),
        "expires_at": rfc3339(delivery.expires_at) if delivery.expires_at else None,
        "path": delivery.place,
        "sha256": delivery.sha256.hex(),
    }
