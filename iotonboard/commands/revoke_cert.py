"""``revoke --cert``: from certificate files to what ``revoke`` can name.

A certificate that this CA issued and the database forgot, since it is a restored backup, is taken into it first: a
device that was registered after the backup becomes known again, without its key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.broker.certificate_file import read_certificate_file
from iotonboard.errors import IotOnboardError, PolicyError
from iotonboard.model import DeviceId, Refused, Target
from iotonboard.pki.crl_entry import entry_date, serial_and_reason
from iotonboard.pki.facts import certificate_facts, is_issued_by
from iotonboard.pki.proof import PROOF_PURPOSE
from iotonboard.state.changes import revoke_certificates
from iotonboard.store.certificates import NewCertificate, add_certificate, has_certificate
from iotonboard.store.devices import add_device, find_device
from iotonboard.store.issuers import all_issuers
from iotonboard.store.revocations import foreign_entry, set_foreign_entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.model import SerialNumber
    from iotonboard.pki.facts import CertificateFacts
    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class _Given:
    """A certificate that one of the state's CAs issued; ``issuer`` is that CA's row."""

    der: bytes
    facts: CertificateFacts
    issuer: int


def find_targets(state: State, paths: Sequence[str]) -> list[Target | Refused]:
    """Make sure that the database knows every certificate in files, and name them by their serials.

    CAs beside other certificates are these ones' chain, and are not meant. A file that cannot be read, and a
    certificate that none of this state's CAs issued, stop no other.
    """
    named = [_adopt_or_refuse(state, path, one) for path in paths for one in _read(state, path)]
    return list({one.serial if isinstance(one, Target) else number: one for number, one in enumerate(named)}.values())


def find_in_added(cas: Opened, paths: Sequence[str]) -> list[Target | Refused]:
    """As ``find_targets``, where a CA that was added to the state may have issued a certificate."""
    found: list[Target | Refused] = []
    for path in paths:
        targets = find_targets(cas.around, [path])
        for name in cas.names:
            if any(isinstance(one, Refused) for one in targets):
                others = find_targets(cas.state(name), [path])
                targets = others if all(isinstance(one, Target) for one in others) else targets
        found += targets
    return list(dict.fromkeys(found))


def _read(state: State, path: str) -> list[_Given | IotOnboardError]:
    try:
        read = [(der, certificate_facts(der)) for der in read_certificate_file(path)]
    except IotOnboardError as error:
        return [error]
    meant = [(der, facts) for der, facts in read if not facts.is_ca]
    if not meant:
        return [PolicyError(f"{path!r} holds the certificate of a CA", hint="give the device's device.crt")]
    issuers = all_issuers(state.store)
    given: list[_Given | IotOnboardError] = []
    for der, facts in meant:
        issuer = next((row.id for row in issuers if is_issued_by(der, row.der)), None)
        if issuer is None:
            whose = f"certificate {facts.serial.hex} in {path!r}" if len(meant) > 1 else f"the certificate in {path!r}"
            given.append(PolicyError(f"this CA did not issue {whose}", hint="check the file and --state"))
        else:
            given.append(_Given(der, facts, issuer))
    return given


def _adopt_or_refuse(state: State, path: str, given: _Given | IotOnboardError) -> Target | Refused:
    if isinstance(given, IotOnboardError):
        return Refused(path, 0, given)
    try:
        return Target("", serial=_adopt(state, given).hex)
    except IotOnboardError as error:
        return Refused(path, 0, type(error)(f"{path!r}: {error.message}", hint=error.hint))


def _adopt(state: State, given: _Given) -> SerialNumber:
    facts, issuer = given.facts, given.issuer
    if has_certificate(state.store, facts.serial):
        return facts.serial
    if PROOF_PURPOSE in facts.purposes:
        raise PolicyError(
            "this is a proof for a cloud, and no device's certificate",
            hint="nothing need be done: nobody has its key, and it ends within days",
        )
    new = NewCertificate(facts.serial, facts.validity, given.der, facts.fingerprint, facts.spki_sha256, None, None)
    with state.transaction() as now:
        host = _host_of(facts)
        device_id = None
        if host is None:
            device_id = DeviceId.adopted(facts.subject_cn)
            if find_device(state.store, device_id) is None:
                add_device(state.store, device_id, "", {}, now, is_adopted=True)
        add_certificate(state.store, new, issuer=issuer, device_id=device_id, host=host, now=now)
        detail = {"fingerprint": facts.fingerprint, "adopted": True}
        state.record(now, host or facts.subject_cn, serial=facts.serial.hex, detail=detail)
        if entry := foreign_entry(state.store, facts.serial):  # on the CRL already: once, and not valid for a moment
            reason = serial_and_reason(entry)[1]
            set_foreign_entry(state.store, issuer, facts.serial, None)
            subject, dated = host or facts.subject_cn, entry_date(entry)
            revoke_certificates(state, [facts.serial], reason, now, subject=subject, dated=dated)
    return facts.serial


def _host_of(facts: CertificateFacts) -> str | None:
    """The host of a broker certificate: its first name, which is not a device's UUID."""
    names = [name for name in facts.alt_names if not name.startswith("urn:")]
    return names[0] if names else None
