"""Take a certificate into the database that this CA issued and the database forgot: after a restored backup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.errors import PolicyError
from iotonboard.model import DeviceId
from iotonboard.pki import pem
from iotonboard.pki.crl import serial_and_reason
from iotonboard.pki.facts import certificate_facts, is_issued_by
from iotonboard.state.changes import revoke_certificates
from iotonboard.store.certificates import NewCertificate, add_certificate, has_certificate
from iotonboard.store.devices import add_device, find_device
from iotonboard.store.issuers import all_issuers
from iotonboard.store.revocations import foreign_entry, set_foreign_entry

if TYPE_CHECKING:
    from iotonboard.model import SerialNumber
    from iotonboard.pki.facts import CertificateFacts
    from iotonboard.state.state import State


def adopt(state: State, content: bytes) -> SerialNumber:
    """Make sure that the database knows a certificate (PEM or DER), so that it can be revoked; returns its serial.

    A device that was registered after the backup becomes known again with it, without its key.

    Raises:
        PolicyError: not one certificate, or not one of this state's CAs.
    """
    ders = pem.pem_decode_all("CERTIFICATE", content) if b"-----BEGIN" in content else [content]
    if not ders:
        raise PolicyError("there is no certificate in that file", hint="give the device's device.crt")
    facts = certificate_facts(ders[0])
    issuer = next((row.id for row in all_issuers(state.store) if is_issued_by(ders[0], row.der)), None)
    if issuer is None or facts.is_ca:
        raise PolicyError("this CA did not issue that certificate", hint="check the file and --state")
    if has_certificate(state.store, facts.serial):
        return facts.serial
    new = NewCertificate(facts.serial, facts.validity, ders[0], facts.fingerprint, facts.spki_sha256, None, None)
    with state.transaction() as now:
        host = _host_of(facts)
        device_id = None
        if host is None:
            device_id = DeviceId(facts.subject_cn)
            if find_device(state.store, device_id) is None:
                add_device(state.store, device_id, "", {}, now)
        add_certificate(state.store, new, issuer=issuer, device_id=device_id, host=host, now=now)
        detail = {"fingerprint": facts.fingerprint, "adopted": True}
        state.record(now, host or facts.subject_cn, serial=facts.serial.hex, detail=detail)
        if entry := foreign_entry(state.store, facts.serial):  # on the CRL already: once, and not valid for a moment
            reason = serial_and_reason(entry)[1]
            set_foreign_entry(state.store, issuer, facts.serial, None)
            revoke_certificates(state, [facts.serial], reason, now, subject=host or facts.subject_cn)
    return facts.serial


def _host_of(facts: CertificateFacts) -> str | None:
    """The host of a broker certificate: its first name, which is not a device's UUID."""
    names = [name for name in facts.alt_names if not name.startswith("urn:")]
    return names[0] if names else None
