"""``broker issue``: a server certificate for a broker, and a ``mosquitto.conf`` that enforces mTLS, CRL and ACL.

1. Say what is to be made: what was not named is as it was for this broker, else default.
2. Unlock the CA; make key and certificate. A key that was made elsewhere is certified, and never comes here.
3. Record them in one transaction: from here on the certificate can be revoked. With a folder for the broker (``--for``)
   the settings follow, so that CRL, ACL and CA file are published there now and later.
4. Publish the broker's files and everything else, then write what is not kept: the plain key and the configuration.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.ca.authority import broker_ca, refuse_changed, seal_audit, sealer
from iotonboard.ca.copies import refuse_copies
from iotonboard.ca.vault import SALT_OCTETS
from iotonboard.disk.files import PRIVATE, write_atomic
from iotonboard.enrolment.broker_plan import BrokerPlan, Request, plan_broker
from iotonboard.enrolment.desk import encrypt_secret
from iotonboard.enrolment.order_profile import refuse_outliving
from iotonboard.model import SerialNumber
from iotonboard.pki import pem
from iotonboard.pki.certificates import issue_server, validity_for
from iotonboard.pki.keys import dump_key, generate_key, load_public_key, spki_der
from iotonboard.pki.profiles import ServerProfile
from iotonboard.state.broker_conf import ConfResult, check_conf, write_conf
from iotonboard.state.broker_folder import find_folder, make_folder, settings_for, write_pair
from iotonboard.state.ca_life import last_longer
from iotonboard.state.publication import EVERYTHING, publish, refuse_unpublished
from iotonboard.state.region_change import refuse_other_copy
from iotonboard.state.sent_chain import as_sent
from iotonboard.state.setting_sets import follow_settings
from iotonboard.state.settings_file import note_file, write_settings_file
from iotonboard.state.settings_seal import seal_settings
from iotonboard.store.brokers import set_broker
from iotonboard.store.certificates import NewCertificate, add_certificate
from iotonboard.store.pending import add_pending

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.ca.authority import Authority, SigningCa, Unlock
    from iotonboard.model import Validity
    from iotonboard.state.broker_folder import BrokerFolder, FolderSettings
    from iotonboard.state.state import State

PLAIN_KEY_FILE = "broker-plain.key"


@dataclass(frozen=True, slots=True)
class _Issued:
    """A certificate that is not recorded yet; with a key that was made here, that in the clear, and its password."""

    certificate: NewCertificate
    key_der: bytes | None = field(repr=False)
    password: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Result:
    """The new broker certificate. ``key_password`` opens ``broker.key``; ``issuer`` is its CA's fingerprint.

    ``changes`` is what is otherwise than it was, and ``settings`` are those that were set for the folder.
    """

    plan: BrokerPlan
    serial: SerialNumber
    validity: Validity
    fingerprint: str
    issuer: str
    config: ConfResult
    settings: tuple[str, ...]
    key_password: str | None = field(repr=False)


def issue_broker(state: State, request: Request, unlock: Unlock) -> Result:
    """Issue a certificate whose subjectAltName holds every name; the first one names the folder.

    During a rollover it is of the oldest CA that has valid devices, since those know no other; without
    ``validity_days`` it then ends with that CA at the latest.

    A plain key is for a broker that starts with nobody present; in a folder for the broker it always is.
    A ``mosquitto.conf`` that somebody changed is the operator's and stays.

    Raises:
        KeyUnavailableError: the CA key is missing, or the passphrase does not open it.
        PolicyError: a name is not a host name or address, the broker would outlive the CA, or a folder cannot be read
            by the broker's user.
        ConflictError: another copy of the state is at work, or settings name another folder.
        BusyError: the state is locked or the disk refuses.
    """
    refuse_copies(state)
    plan = plan_broker(state, request)
    folder, settings = None, None
    if plan.setup.folder:
        folder = find_folder(plan.setup.folder, request.user or state.config["broker.user"], plan.setup.seen_as)
        settings = settings_for(state, folder)
    check_conf(state, plan.setup, folder)
    if request.validity_days:
        refuse_outliving(state, None, request.validity_days)
    authority = unlock()
    ca = broker_ca(state.store, authority, state.clock())
    issued = _issue(state, authority, ca, plan, request.validity_days)
    new = issued.certificate
    if folder:
        make_folder(state, folder)
    with state.transaction(signing=True) as now:
        refuse_changed(state, authority)
        refuse_other_copy(state)
        _record(state, plan, new, ca.row, now)
        if settings and settings.changed:
            _set_settings(state, settings, authority, now)
        seal_audit(state, authority)
    if settings and settings.changed:
        write_settings_file(state, settings.values, named=state.config.file.values)
        state = settings.applied(state)
    unpublished = publish(state, *EVERYTHING)
    _write_plain_key(state, plan, folder, issued, ca)
    config = write_conf(state, plan.setup, plan.setup_before, folder)
    refuse_unpublished(unpublished)
    changed = tuple(settings.changed) if settings else ()
    fingerprint = ca.identity
    return Result(plan, new.serial, new.validity, new.fingerprint, fingerprint, config, changed, issued.password)


def _record(state: State, plan: BrokerPlan, new: NewCertificate, issuer: int, now: datetime) -> None:
    setup = plan.setup
    add_certificate(state.store, new, issuer=issuer, host=setup.host, now=now)
    add_pending(state.store, new.serial, None)
    set_broker(state.store, setup)
    detail = {
        "fingerprint": new.fingerprint,
        "broker": list(plan.names),
        "plain_key": setup.has_plain_key,
        "port": setup.port,
        "folder": setup.folder,
        "seen_as": setup.seen_as,
    }
    state.record(now, setup.host, serial=new.serial.hex, detail=detail)


def _set_settings(state: State, settings: FolderSettings, authority: Authority, now: datetime) -> None:
    """Seal the settings of a folder, in the caller's transaction, as ``config set`` does."""
    follow_settings(state, settings.paths, set(settings.changed))
    seal_settings(state, settings.values, now, sealer(authority))
    note_file(state)


def _issue(state: State, authority: Authority, ca: SigningCa, plan: BrokerPlan, validity_days: int | None) -> _Issued:
    now, days = state.clock(), state.config["cert_validity_days"]
    if ca is not authority.active:
        days = max(min(days, (ca.issuer.validity.not_after - now).days), 1)
    validity = validity_for(
        now,
        validity_days or days,
        skew_minutes=state.config["not_before_skew_minutes"],
        issuer_validity=ca.issuer.validity,
        backdated_to=state.config.backdated_to,
        last_longer=last_longer(ca.chain),
    )
    serial, profile = SerialNumber.from_random(os.urandom(20)), ServerProfile(state.config.subject_extra)
    if plan.spki_der is not None:
        public_key = load_public_key(plan.spki_der)
        der = issue_server(ca.issuer, public_key, plan.names, serial, validity, profile)
        spki = sha256(plan.spki_der).digest()
        return _Issued(NewCertificate(serial, validity, der, sha256(der).hexdigest(), spki, None, None), None, None)
    key, salt = generate_key(plan.key_type), os.urandom(SALT_OCTETS)
    key_der, spki = dump_key(key), sha256(spki_der(key.public_key())).digest()
    password = authority.vault_of(ca.row).bundle_password(serial, salt)
    der = issue_server(ca.issuer, key.public_key(), plan.names, serial, validity, profile)
    encrypted = encrypt_secret(key_der, password)
    new = NewCertificate(serial, validity, der, sha256(der).hexdigest(), spki, encrypted, salt)
    return _Issued(new, key_der, password)


def _write_plain_key(
    state: State, plan: BrokerPlan, folder: BrokerFolder | None, issued: _Issued, ca: SigningCa
) -> None:
    if issued.key_der is None:
        return
    if folder:
        write_pair(folder, as_sent(issued.certificate.der, ca.chain[:-1]), issued.key_der)
    elif plan.setup.has_plain_key:
        path = os.path.join(state.paths.broker(plan.setup.host).path, PLAIN_KEY_FILE)
        write_atomic(path, pem.pem_encode("PRIVATE KEY", issued.key_der), PRIVATE)
