"""``broker issue``: a server certificate for a broker, and a ``mosquitto.conf`` that enforces mTLS, CRL and ACL."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.broker.conf import render_conf
from iotonboard.ca.authority import broker_ca, refuse_changed, seal_audit
from iotonboard.ca.vault import SALT_OCTETS
from iotonboard.enrolment.desk import encrypt_secret
from iotonboard.files import PRIVATE, PUBLIC, create_exclusive, write_atomic
from iotonboard.model import KeyType, SerialNumber
from iotonboard.pki import pem
from iotonboard.pki.certificates import issue_server, validity_for
from iotonboard.pki.keys import dump_key, generate_key, spki_der
from iotonboard.pki.profiles import ServerProfile
from iotonboard.state.publication import EVERYTHING, publish, refuse_unpublished
from iotonboard.store.certificates import NewCertificate, add_certificate
from iotonboard.store.pending import add_pending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.ca.authority import Authority
    from iotonboard.model import Validity
    from iotonboard.state.layout import Folder
    from iotonboard.state.state import State

PLAIN_KEY_FILE = "broker-plain.key"


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
    state: State,
    authority: Authority,
    hosts: Sequence[str],
    *,
    port: int,
    validity_days: int | None,
    plain_key: bool,
) -> Result:
    """Issue a certificate whose subjectAltName holds every one of ``hosts``; the first names the folder.

    During a rollover it is of the oldest CA that has valid devices, since those know no other; without
    ``validity_days`` it then ends with that CA at the latest.

    ``plain_key`` also writes the key unencrypted, for a broker that starts with nobody present.
    A ``mosquitto.conf`` that is there already is the operator's and stays.

    Raises:
        PolicyError: a name is not a host name or address, or the broker would outlive the CA.
    """
    host, now = hosts[0], state.clock()
    ca = broker_ca(state.store, authority, now)
    days = state.config["cert_validity_days"]
    if ca is not authority.active:
        days = max(min(days, (ca.issuer.validity.not_after - now).days), 1)
    validity = validity_for(
        now,
        validity_days or days,
        skew_minutes=state.config["not_before_skew_minutes"],
        issuer_validity=ca.issuer.validity,
    )
    names = ("country", "organization", "organizational_unit")
    extra = tuple((name, state.config[f"subject.{name}"]) for name in names if state.config[f"subject.{name}"])
    key = generate_key(KeyType.EC_P256)
    serial, salt = SerialNumber.from_random(os.urandom(20)), os.urandom(SALT_OCTETS)
    der = issue_server(ca.issuer, key.public_key(), hosts, serial, validity, ServerProfile(extra))
    password = authority.vault.bundle_password(serial, salt)
    spki = sha256(spki_der(key.public_key())).digest()
    new = NewCertificate(
        serial, validity, der, sha256(der).hexdigest(), spki, encrypt_secret(dump_key(key), password), salt
    )
    with state.transaction(signing=True) as now:
        refuse_changed(state, authority)
        add_certificate(state.store, new, issuer=ca.row, host=host, now=now)
        add_pending(state.store, new.serial, None)
        state.record(
            now,
            host,
            serial=serial.hex,
            detail={"fingerprint": new.fingerprint, "broker": list(hosts), "plain_key": plain_key},
        )
        seal_audit(state, authority)
    refuse_unpublished(publish(state, *EVERYTHING))
    folder = state.paths.broker(host)
    if plain_key:
        content = pem.pem_encode("PRIVATE KEY", dump_key(key))
        write_atomic(os.path.join(folder.path, PLAIN_KEY_FILE), content, PRIVATE)
    config, written = _write_config(state, folder, host, port, plain_key=plain_key)
    return Result(host, serial, validity, new.fingerprint, ca.issuer.fingerprint, config, written, password)


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
    create_exclusive(path, text.encode("utf-8"), PUBLIC)
    return path, True
