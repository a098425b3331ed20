"""What AWS IoT Core and Azure IoT take of devices, and the lists by which they take many at once.

Rules are those that the vendors publish: AWS IoT API reference (``ThingName``, ``RegisterCACertificate``) and developer
guide, X.509 client certificates; Microsoft Learn, "X.509 certificate attestation" and "Import and export IoT Hub device
identities in bulk".
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iotonboard.delivery.cloud_table import AZURE
from iotonboard.model import KeyType, rfc3339
from iotonboard.pki import facts
from iotonboard.pki.pem import pem_encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from iotonboard.delivery.cloud_table import Cloud
    from iotonboard.model import CertificateRecord
    from iotonboard.pki.facts import CertificateFacts

_DIGESTS: Final = frozenset({"", "sha256", "sha384", "sha512"})
_CLIENT_AUTH: Final = "1.3.6.1.5.5.7.3.2"


@dataclass(frozen=True, slots=True)
class CloudProblem:
    """Why a cloud would refuse something.

    ``code`` is ``id``, ``name``, ``key``, ``purpose``, ``certificate``, ``signature`` or ``ca-key``.
    """

    code: str
    message: str
    hint: str = ""


def id_problems(cloud: Cloud, device_id: str) -> Iterator[CloudProblem]:
    """Why the cloud takes no device of that id."""
    if not re.fullmatch(cloud.ids, device_id):
        yield CloudProblem("id", f"{cloud.title} takes no id {device_id!r}", cloud.id_hint)


def certificate_problems(cloud: Cloud, device_id: str, certificate_der: bytes, at: datetime) -> Iterator[CloudProblem]:
    """Why the cloud refuses a device's certificate, whatever the CA is."""
    found = facts.certificate_facts(certificate_der)
    yield from _life_and_signature(cloud, found, certificate_der, at)
    if found.key_type is KeyType.ED25519:
        yield CloudProblem("key", f"{cloud.title} takes no Ed25519 keys", "use an RSA key, ec-p256 or ec-p384")
    if cloud.name == AZURE:
        if found.subject_cn != device_id:
            message = f"{cloud.title} reads the registration id from the commonName, which is {found.subject_cn!r}"
            yield CloudProblem("name", message, "issue it with the profile azure or mqtt")
        if found.purposes and _CLIENT_AUTH not in found.purposes:
            yield CloudProblem("purpose", f"{cloud.title} takes no certificate that is not meant for clients")


def ca_problems(cloud: Cloud, ca_der: bytes, at: datetime) -> Iterator[CloudProblem]:
    """Why the cloud refuses a CA, and all that it certified."""
    found = facts.certificate_facts(ca_der)
    yield from _life_and_signature(cloud, found, ca_der, at)
    if found.key_type is KeyType.ED25519:
        hint = "iotonboard ca rollover begin --key-type ec-p256 makes one that it takes"
        yield CloudProblem("ca-key", f"{cloud.title} takes no CA with an Ed25519 key", hint)


def _life_and_signature(cloud: Cloud, found: CertificateFacts, der: bytes, at: datetime) -> Iterator[CloudProblem]:
    if not found.validity.not_before <= at <= found.validity.not_after:
        life = f"from {rfc3339(found.validity.not_before)} to {rfc3339(found.validity.not_after)}"
        yield CloudProblem("certificate", f"{cloud.title} takes no certificate outside of its life, which is {life}")
    if facts.signature_digest(der) not in _DIGESTS:  # of Ed25519 there is none, and the CA is named for it
        yield CloudProblem(
            "signature",
            f"{cloud.title} takes no certificate that was signed with this digest",
            "a CA with an RSA key, ec-p256 or ec-p384 signs with one that it takes",
        )


def aws_line(device_id: str, certificate: CertificateRecord) -> str:
    """The parameters of one thing, for StartThingRegistrationTask."""
    return _line(
        {
            "ThingName": device_id,
            "SerialNumber": certificate.serial.hex,
            "CertificatePem": pem_encode("CERTIFICATE", certificate.der).decode("ascii"),
        }
    )


def aws_status_line(certificate: CertificateRecord) -> str:
    """What UpdateCertificate takes, as ``aws iot update-certificate --cli-input-json`` reads it.

    A certificateId is the SHA-256 of the certificate. One on hold can come back, so it is not REVOKED; one that came
    back is ACTIVE.
    """
    status = "ACTIVE" if certificate.revocation is None else "INACTIVE" if certificate.is_held else "REVOKED"
    return _line({"certificateId": certificate.fingerprint, "newStatus": status})


def azure_line(device_id: str, *, is_enabled: bool, was_disabled: bool) -> str:
    """One identity for an import job. ``was_disabled``: an earlier list may have had it, so that it is there."""
    mode = ("createOrUpdate" if was_disabled else "create") if is_enabled else "update"
    return _line(
        {
            "id": device_id,
            "importMode": mode,
            "status": "enabled" if is_enabled else "disabled",
            "authentication": {"type": "certificateAuthority"},
        }
    )


def _line(values: dict[str, object]) -> str:
    return json.dumps(values, separators=(", ", ": ")) + "\n"
