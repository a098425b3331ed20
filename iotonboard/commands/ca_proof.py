"""``ca proof``: the certificate by which a CA proves to a cloud that it has its key.

1. Look at the code, and where the file goes; then unlock the CA.
2. Make a key, have the code certified, and forget the key: nobody can ever use the certificate.
3. In the same transaction tell of it in the trail; then write the file.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iotonboard.ca.authority import refuse_changed, seal_audit
from iotonboard.delivery.export_places import check_place
from iotonboard.disk.files import PUBLIC, create_exclusive
from iotonboard.enrolment.broker_names import is_name_of_broker
from iotonboard.errors import ConflictError, PolicyError, quoted
from iotonboard.model import KeyType, SerialNumber, rfc3339
from iotonboard.pki import pem
from iotonboard.pki.certificates import validity_for
from iotonboard.pki.facts import certificate_facts
from iotonboard.pki.keys import generate_key
from iotonboard.pki.proof import issue_proof
from iotonboard.state.ca_life import last_longer
from iotonboard.state.opened_cas import opened
from iotonboard.store.devices import find_device
from iotonboard.store.issuers import current_issuers

if TYPE_CHECKING:
    from iotonboard.ca.authority import Unlock
    from iotonboard.pki.facts import CertificateFacts
    from iotonboard.state.state import State

# AWS gives 64 hexadecimal digits, Azure 48; a commonName holds 64 characters (RFC 5280 appendix A.1).
_CODE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Result:
    """The certificate, where it lies, and the CA that it is of, which the cloud needs too (PEM)."""

    path: str
    code: str
    certificate: CertificateFacts
    ca_fingerprint: str
    ca_pem: str


def prove(state: State, code: str, path: str, validity_days: int, unlock: Unlock) -> Result:
    """Write the certificate for a code, PEM.

    Raises:
        PolicyError: it is no code, no cloud takes this CA, or the clock cannot be right.
        ConflictError: there is such a file, or a device, a broker or the CA itself has that name.
        NotFoundError: the folder of the file is not there.
        KeyUnavailableError: the CA key is missing, or the passphrase does not open it.
        BusyError: the state is locked or the disk refuses; the same command again makes another certificate.
    """
    _check_code(state, code)
    if os.path.lexists(path):
        raise ConflictError(f"{path!r} exists already", hint="choose another name; a proof writes over nothing")
    check_place(path, is_folder=False, force=False)
    authority = unlock()
    with state.transaction(signing=True) as now:
        refuse_changed(state, authority)
        _check_code(state, code)
        ca = authority.active
        validity = validity_for(
            now,
            validity_days,
            skew_minutes=state.config["not_before_skew_minutes"],
            issuer_validity=ca.issuer.validity,
            last_longer=last_longer(ca.chain),
        )
        serial = SerialNumber.from_random(os.urandom(20))
        key, extra = generate_key(KeyType.EC_P256), state.config.subject_extra
        der = issue_proof(ca.issuer, key.public_key(), code, serial, validity, subject_extra=extra)
        made = certificate_facts(der)
        detail = {"proof": code, "fingerprint": made.fingerprint, "not_after": rfc3339(validity.not_after)}
        state.record(now, "ca", serial=serial.hex, detail=detail)
        seal_audit(state, authority)
    create_exclusive(path, pem.pem_encode("CERTIFICATE", der), PUBLIC)
    ca_pem = pem.pem_encode("CERTIFICATE", ca.issuer.certificate_der).decode("ascii")
    return Result(path, code, made, ca.issuer.fingerprint, ca_pem)


def _check_code(state: State, code: str) -> None:
    """Refuse what is no code, or somebody's name: whoever reads names alone could take the one for the other."""
    if not _CODE.fullmatch(code):
        raise PolicyError(f"{quoted(code)} is not a code", hint="give the code of the cloud as it stands there")
    ca = certificate_facts(current_issuers(state.store)[0].der)
    if ca.key_type is KeyType.ED25519:
        raise PolicyError(
            "AWS and Azure take no CA with an Ed25519 key",
            hint="iotonboard ca rollover begin --key-type ec-p256 makes one that they take",
        )
    with opened(state) as cas:
        for store in (state.store, *(cas.state(name).store for name in cas.names)):
            if found := find_device(store, code):
                raise ConflictError(f"{str(found.device_id)!r} is a device", hint="a code of a cloud is no device's id")
    around = state.main or state
    if code.casefold() == ca.subject_cn.casefold() or is_name_of_broker(around.store, code):
        raise ConflictError(f"{code!r} is the name of a broker or of the CA", hint="give the code of the cloud")
