"""``broker issue``: a server certificate for a broker, and a ``mosquitto.conf`` that enforces mTLS, CRL and ACL.

1. Unlock the CA; make key and certificate.
2. Record them in one transaction: from here on the certificate can be revoked.
3. Publish the broker's files and everything else, then write what is not kept: the plain key and the configuration.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.broker.conf import render_conf
from iotonboard.ca.authority import broker_ca, refuse_changed, seal_audit
from iotonboard.ca.copies import refuse_copies
from iotonboard.ca.vault import SALT_OCTETS
from iotonboard.enrolment.desk import encrypt_secret
from iotonboard.files import PRIVATE, PUBLIC, create_exclusive, write_atomic
from iotonboard.model import KeyType, SerialNumber
from iotonboard.pki import pem
from iotonboard.pki.certificates import issue_server, validity_for
from iotonboard.pki.keys import dump_key, generate_key, spki_der
from iotonboard.pki.profiles import ServerProfile
from iotonboard.state.publication import EVERYTHING, publish, refuse_unpublished
from iotonboard.state.region_change import refuse_other_copy
from iotonboard.store.certificates import NewCertificate, add_certificate
from iotonboard.store.pending import add_pending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.ca.authority import Authority, SigningCa, Unlock
    from iotonboard.model import Validity
    from iotonboard.state.layout import Folder
    from iotonboard.state.state import State

PLAIN_KEY_FILE = "broker-plain.key"


@dataclass(frozen=True, slots=True)
class _Issued:
    """A certificate that is not recorded yet, with its key in the clear and the password of the encrypted one."""

    certificate: NewCertificate
    key_der: bytes = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Result:
    """The new broker certificate. ``key_password`` opens ``broker.key``; ``issuer`` is its CA's fingerprint."""

    host: str
    serial: SerialNumber
    validity: Validity
    fingerprint: str
    issuer: str
    config: str
    config_written: bool
    key_password: str = field(repr=False)


def issue_broker(
    state: State, hosts: Sequence[str], unlock: Unlock, *, port: int, validity_days: int | None, plain_key: bool
) -> Result:
    """Issue a certificate whose subjectAltName holds every one of ``hosts``; the first names the folder.

    During a rollover it is of the oldest CA that has valid devices, since those know no other; without
    ``validity_days`` it then ends with that CA at the latest.

    ``plain_key`` also writes the key unencrypted, for a broker that starts with nobody present.
    A ``mosquitto.conf`` that is there already is the operator's and stays.

    Raises:
        KeyUnavailableError: the CA key is missing, or the passphrase does not open it.
        PolicyError: a name is not a host name or address, or the broker would outlive the CA.
        ConflictError: another copy of the state is at work.
        BusyError: the state is locked or the disk refuses.
    """
    refuse_copies(state)
    authority, host = unlock(), hosts[0]
    ca = broker_ca(state.store, authority, state.clock())
    issued = _issue(state, authority, ca, hosts, validity_days)
    new = issued.certificate
    with state.transaction(signing=True) as now:
        refuse_changed(state, authority)
        refuse_other_copy(state)
        add_certificate(state.store, new, issuer=ca.row, host=host, now=now)
        add_pending(state.store, new.serial, None)
        detail = {"fingerprint": new.fingerprint, "broker": list(hosts), "plain_key": plain_key}
        state.record(now, host, serial=new.serial.hex, detail=detail)
        seal_audit(state, authority)
    refuse_unpublished(publish(state, *EVERYTHING))
    folder = state.paths.broker(host)
    if plain_key:
        content = pem.pem_encode("PRIVATE KEY", issued.key_der)
        write_atomic(os.path.join(folder.path, PLAIN_KEY_FILE), content, PRIVATE)
    config, written = _write_config(state, folder, host, port, plain_key=plain_key)
    fingerprint = ca.issuer.fingerprint
    return Result(host, new.serial, new.validity, new.fingerprint, fingerprint, config, written, issued.password)


def _issue(
    state: State, authority: Authority, ca: SigningCa, hosts: Sequence[str], validity_days: int | None
) -> _Issued:
    now, days = state.clock(), state.config["cert_validity_days"]
    if ca is not authority.active:
        days = max(min(days, (ca.issuer.validity.not_after - now).days), 1)
    validity = validity_for(
        now,
        validity_days or days,
        skew_minutes=state.config["not_before_skew_minutes"],
        issuer_validity=ca.issuer.validity,
        backdated_to=state.config.backdated_to,
    )
    key = generate_key(KeyType.EC_P256)
    key_der, spki = dump_key(key), sha256(spki_der(key.public_key())).digest()
    serial, salt = SerialNumber.from_random(os.urandom(20)), os.urandom(SALT_OCTETS)
    password = authority.vault_of(ca.row).bundle_password(serial, salt)
    profile = ServerProfile(state.config.subject_extra)
    der = issue_server(ca.issuer, key.public_key(), hosts, serial, validity, profile)
    encrypted = encrypt_secret(key_der, password)
    new = NewCertificate(serial, validity, der, sha256(der).hexdigest(), spki, encrypted, salt)
    return _Issued(new, key_der, password)


def _write_config(state: State, folder: Folder, host: str, port: int, *, plain_key: bool) -> tuple[str, bool]:
    path = os.path.join(folder.path, "mosquitto.conf")
    if os.path.lexists(path):
        return path, False
    text = render_conf(
        host=host,
        port=port,
        ca_path=state.paths.ca_certificate,
        cert_path=folder.certificate,
        key_path=os.path.join(folder.path, PLAIN_KEY_FILE) if plain_key else folder.key,
        crl_path=state.paths.crl,
        acl_path=state.paths.acl,
    )
    create_exclusive(path, text.encode("utf-8", "surrogateescape"), PUBLIC)  # paths as the system has them
    return path, True
