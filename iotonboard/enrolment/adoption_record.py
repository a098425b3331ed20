"""Recording devices that come from another program, inside one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.enrolment.adoption import foreign_reasons, is_revoked_anew
from iotonboard.model import Validity, rfc3339
from iotonboard.pki.crl_entry import encode_entry
from iotonboard.state.acl_file import mark_acl
from iotonboard.state.changes import revoke_certificates
from iotonboard.store.certificates import NewCertificate, add_certificate
from iotonboard.store.devices import add_device
from iotonboard.store.issuers import current_issuers
from iotonboard.store.pending import add_pending
from iotonboard.store.revocations import add_foreign_entry, note_lost_device, set_foreign_entry

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.enrolment.adoption import Adopted, Adoption, Nameless, One
    from iotonboard.state.state import State


def record_adoption(state: State, adoption: Adoption, now: datetime) -> None:
    """Record devices, certificates and revocations, each with its row in the trail."""
    before = foreign_reasons(state)
    for device in adoption.devices:
        if device.is_new:
            add_device(state.store, device.device_id, "", {}, now, is_adopted=True)
        for one in device.certificates:
            if one.is_new:
                _record_certificate(state, device, one, now)
                if one.serial.octets in before:
                    set_foreign_entry(state.store, one.certificate.issuer or 0, one.serial, None)
            if one.revoked is not None and is_revoked_anew(state, one):
                dated, reason = one.revoked.date, one.revoked.reason
                revoke_certificates(state, [one.serial], reason, now, subject=device.device_id, dated=dated)
        newest = device.certificates[-1]
        if newest.is_new:
            add_pending(state.store, newest.serial, None)
    for nameless in adoption.nameless:
        _record_nameless(state, nameless, now)
    mark_acl(state)


def _record_certificate(state: State, device: Adopted, one: One, now: datetime) -> None:
    certificate = one.certificate
    validity = Validity(certificate.not_before, certificate.not_after)
    new = NewCertificate(
        one.serial, validity, certificate.der, certificate.fingerprint, certificate.spki_sha256, None, None
    )
    add_certificate(state.store, new, issuer=certificate.issuer or 0, device_id=device.device_id, now=now)
    detail = {
        "fingerprint": certificate.fingerprint,
        "key": "device",
        "not_after": rfc3339(certificate.not_after),
        "adopted": True,
    }
    state.record(now, device.device_id, serial=one.serial.hex, detail=detail)


def _record_nameless(state: State, nameless: Nameless, now: datetime) -> None:
    """Keep a revocation on every list, and deny the device whose it was, unless it has a valid certificate."""
    revoked, holder, serial = nameless.revoked, nameless.holder, nameless.serial
    if nameless.is_recorded:
        revoke_certificates(state, [serial], revoked.reason, now, subject=holder, dated=revoked.date)
        return
    written = encode_entry(serial, revoked.date, revoked.reason)
    for issuer in nameless.issuers or [row.id for row in current_issuers(state.store)]:
        add_foreign_entry(state.store, issuer, serial, written)
    if holder:
        note_lost_device(state.store, holder, serial)
    detail = {"foreign": revoked.reason.value, "dated": rfc3339(revoked.date)}
    state.record(now, holder or "foreign", serial=serial.hex, detail=detail)
