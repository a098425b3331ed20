"""``revoke --cert``: from certificate files to what ``revoke`` can name.

A certificate that this CA issued and the database forgot, since it is a restored backup, is taken into it first: a
device that was registered after the backup becomes known again, without its key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.errors import PolicyError
from iotonboard.model import DeviceId, Target
from iotonboard.pki import pem
from iotonboard.pki.crl import serial_and_reason
from iotonboard.pki.facts import certificate_facts, is_issued_by
from iotonboard.reading import read_file
from iotonboard.state.changes import revoke_certificates
from iotonboard.store.certificates import NewCertificate, add_certificate, has_certificate
from iotonboard.store.devices import add_device, find_device
from iotonboard.store.issuers import all_issuers
from iotonboard.store.revocations import foreign_entry, set_foreign_entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.model import SerialNumber
    from iotonboard.pki.facts import CertificateFacts
    from iotonboard.state.state import State


_MAX_CERTIFICATE = 1 << 20


def find_targets(state: State, paths: Sequence[str]) -> list[Target]:
    """Make sure that the database knows the certificates in files (PEM or DER), and name them by their serials.

    Raises:
        NotFoundError: there is no such file.
        PolicyError: not one certificate, or not of one of this state's CAs.
        BusyError: the state is locked or the disk refuses.
    """
    contents = [read_file(path, limit=_MAX_CERTIFICATE) for path in paths]
    return [Target("", serial=_adopt(state, content).hex) for content in contents]


def _adopt(state: State, content: bytes) -> SerialNumber:
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
