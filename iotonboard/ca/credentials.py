"""From a committed certificate to its credentials in a format, in the place that the operator names."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from iotonboard.ca.authority import seal_audit
from iotonboard.delivery.credential import Credential
from iotonboard.delivery.export_places import is_there, make_folders_below, prepare_targets, target_path, write_all
from iotonboard.delivery.formats import table
from iotonboard.delivery.formats.output import Options
from iotonboard.disk.files import PRIVATE, PUBLIC, make_private_dir, write_atomic
from iotonboard.errors import KeyUnavailableError, NotFoundError, PolicyError
from iotonboard.ids import in_command
from iotonboard.model import DeviceId, RevocationReason, rfc3339
from iotonboard.pki.crl import is_list_of
from iotonboard.pki.facts import certificate_facts, is_issued_by
from iotonboard.pki.keys import dump_key, load_key, public_key_matches
from iotonboard.state import trust
from iotonboard.state.chain import chain_in_force
from iotonboard.store.brokers import newest_broker
from iotonboard.store.certificates import certificate_der
from iotonboard.store.devices import device_record
from iotonboard.store.issuers import all_issuers, issuer_of
from iotonboard.store.keys import sealed_key
from iotonboard.store.newest_lists import generation_ders
from iotonboard.store.secrets import purged_at

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.ca.authority import Authority
    from iotonboard.delivery.formats.output import OutputFile
    from iotonboard.model import CertificateRecord, SerialNumber
    from iotonboard.state.state import State
    from iotonboard.store.issuers import IssuerRow

_CHANGED = "somebody changed the database: look at 'iotonboard health --deep', then restore the latest backup"


def encode(
    state: State, authority: Authority, device_id: str, format_name: str, asked: Options | None = None
) -> tuple[list[OutputFile], str | None]:
    """A device's newest valid credentials as files of a format, with the password that opens them.

    ``asked`` are a format's options; its password and its broker are filled in here.

    Raises:
        NotFoundError: no such device, or none of its certificates is valid.
        PolicyError: the format needs a key that is not here.
        KeyUnavailableError: the key that is here is not that of the certificate, or that is not the device's.
    """
    certificate = check_exportable(state, device_id, format_name, asked)
    key_der, password = open_secret(state, authority, certificate.serial)
    credential = credential_of(state, authority, device_id, certificate, key_der)
    crls = _lists_of(state, credential) if format_name == "opcua-store" else ()
    return list(
        table.encode(format_name, credential, replace(_options(state, password, asked or Options()), crls=crls))
    ), password


def check_exportable(state: State, device_id: str, format_name: str, asked: Options | None = None) -> CertificateRecord:
    """The newest valid certificate of a device, whose credentials a format can hold; for all that the database says.

    Raises:
        NotFoundError: no such device or valid certificate, or its secrets were purged.
        PolicyError: the format needs a key that is not here, or an attribute that the device does not have.
    """
    certificate = current_certificate(state, device_id)
    refuse_purged(state, device_id, certificate.serial)
    if not certificate.has_key and table.find_format(format_name).needs_password:
        raise PolicyError(
            f"the key of {device_id!r} never left the device: there is nothing for {format_name!r} to protect",
            hint="'--format pem' writes its certificate and the CA's",
        )
    if asked and asked.nvs and asked.nvs.attributes:
        asked.nvs.names_among(device_id, device_record(state.store, device_id).attributes)
    return certificate


def _options(state: State, password: str | None, asked: Options) -> Options:
    """What a format is told: the broker that was certified last is the one that devices shall connect to."""
    broker = newest_broker(state.store)
    if broker is None:
        return replace(asked, password=password)
    return replace(asked, password=password, broker_host=broker.host, broker_port=broker.port)


def _lists_of(state: State, credential: Credential) -> tuple[tuple[bytes, bytes], ...]:
    """The CAs that a device knows (DER), each with its list in force; those without one are left out."""
    lists = (*generation_ders(state.store), *trust.crls_above(state.store, all_issuers(state.store)))
    cas = dict.fromkeys((*credential.chain, *credential.anchor_ders))
    found = [(ca, next((crl for crl in lists if is_list_of(crl, ca)), b"")) for ca in cas]
    return tuple((ca, crl) for ca, crl in found if crl)


def credential_of(
    state: State, authority: Authority, device_id: str, certificate: CertificateRecord, key_der: bytes | None
) -> Credential:
    """One certificate of a device with the chain of the CA that issued it, and every CA that the device trusts.

    Raises:
        KeyUnavailableError: it is another one than the CA issued to this device.
    """
    issuer = check_certificate(state, device_id, certificate)
    return Credential(
        DeviceId.adopted(device_id), certificate.serial, certificate.validity, certificate.der, key_der,
        chain_in_force(state.store, issuer), anchors=authority.anchors,
        attributes=tuple(device_record(state.store, device_id).attributes.items()),
    )  # fmt: skip


def check_certificate(state: State, holder: str, certificate: CertificateRecord) -> IssuerRow:
    """Hold a device's or broker's certificate against the row that it stands in; returns its CA's.

    Raises:
        KeyUnavailableError: no CA of this state issued it to this holder with this serial.
    """
    issuer = issuer_of(state.store, certificate.serial)
    row = next((row for row in all_issuers(state.store) if row.id == issuer), None)
    try:
        facts = certificate_facts(certificate.der)
        is_right = facts.serial == certificate.serial and holder in (*facts.device_names, *facts.alt_names)
        if is_right and row is not None and is_issued_by(certificate.der, row.der):
            return row
    except PolicyError:  # no certificate at all
        pass
    raise KeyUnavailableError(
        f"the certificate in the row {certificate.serial.hex} is none that a CA of this state issued to {holder!r}",
        hint=_CHANGED,
    )


def open_secret(state: State, authority: Authority, serial: SerialNumber) -> tuple[bytes | None, str | None]:
    """Plain key (PKCS#8 DER) and bundle password of a certificate; both ``None`` when the workstation has no key.

    Raises:
        KeyUnavailableError: what stands in its row is no key, or not that of the certificate.
    """
    sealed = sealed_key(state.store, serial)
    if sealed is None:
        return None, None
    password = authority.vault_of(issuer_of(state.store, serial)).bundle_password(serial, sealed.salt)
    try:
        key = load_key(sealed.key_der, password.encode("ascii"))
        is_its_own = public_key_matches(certificate_der(state.store, serial) or b"", key)
    except (KeyUnavailableError, PolicyError):
        is_its_own = False
    if not is_its_own:
        raise KeyUnavailableError(f"the key in the row {serial.hex} is not that of its certificate", hint=_CHANGED)
    return dump_key(key), password


def refuse_purged(state: State, device_id: str, serial: SerialNumber) -> None:
    """Refuse to look for secrets that were erased.

    Raises:
        NotFoundError: they were.
    """
    moment = purged_at(state.store, serial)
    if moment is not None:
        raise NotFoundError(
            f"key and bundle of {device_id!r} were purged on {rfc3339(moment)} and cannot be made again",
            hint=f"'iotonboard register {in_command(device_id)} --if-exists reissue' makes a new key and certificate",
        )


def current_certificate(state: State, device_id: str) -> CertificateRecord:
    """The newest certificate that is neither revoked nor expired.

    Raises:
        NotFoundError: no such device, no valid certificate, or the device was retired.
    """
    now, device = state.clock(), device_record(state.store, device_id)
    if device.retired_at is not None:
        raise NotFoundError(
            f"device {device_id!r} was retired on {rfc3339(device.retired_at)}",
            hint="its id is never given again: register another one",
        )
    for certificate in device.certificates:
        if certificate.revocation is None and certificate.validity.not_after >= now:
            return certificate
    revocation = device.certificates[0].revocation if device.certificates else None
    why = f": it was revoked, for {revocation.reason.value}" if revocation else ""
    hint = f"'iotonboard register {in_command(device_id)} --if-exists reissue' makes a new one"
    if revocation and revocation.reason is RevocationReason.KEY_COMPROMISE:
        hint += ", with a new key, for who shall be let in again: the stolen one stays shut out"
    elif revocation and revocation.reason is RevocationReason.CERTIFICATE_HOLD:
        hint = f"'iotonboard release {in_command(device_id)}' ends that"
    raise NotFoundError(f"device {device_id!r} has no valid certificate{why}", hint=hint)


@dataclass(frozen=True, slots=True)
class Exported:
    """Where a device's credentials went, when the last of their certificates ends, and what opens them if anything.

    ``left_out`` are the names of attributes that the format could not hold, and nobody asked for.
    """

    device_id: str
    path: str
    last_end: datetime
    password: str | None = field(default=None, repr=False)
    left_out: tuple[str, ...] = ()


def write_credentials(
    state: State,
    authority: Authority,
    device_id: str,
    format_name: str,
    path: str,
    *,
    force: bool,
    asked: Options | None = None,
) -> Exported:
    """Write one device's credentials to ``path``: a file, or a folder for formats of several files.

    Raises:
        NotFoundError: no such device, folder or valid certificate, or the secrets were purged.
        ConflictError: something is in the way and ``force`` was not asked for, or a link or folder is.
        PolicyError: the format cannot hold this device's credentials.
        BusyError: the state is locked or the disk refuses.
    """
    chosen = table.find_format(format_name)
    files, password = encode(state, authority, device_id, format_name, asked)
    targets = prepare_targets(files, path, is_folder=not chosen.single_file, force=force)
    record_export(state, authority, device_id, format_name, os.path.abspath(path))
    write_all(targets, force=force)
    ends = [current_certificate(state, device_id).validity.not_after]
    ends += (certificate_facts(anchor).validity.not_after for anchor in authority.anchors)
    left_out = tuple(name for file in files for name in file.left_out)
    return Exported(device_id, path, max(ends), password if chosen.needs_password else None, left_out)


def write_below(
    state: State,
    authority: Authority,
    device_id: str,
    format_name: str,
    folder: str,
    *,
    force: bool,
    asked: Options | None = None,
) -> Exported:
    """Write one of many devices' credentials below ``folder``; errors as ``write_credentials``."""
    path = target_path(folder, device_id, format_name, asked)
    return write_credentials(state, authority, device_id, format_name, path, force=force, asked=asked)


def complete_below(state: State, authority: Authority, device_id: str, format_name: str, folder: str) -> None:
    """Write those files of a device's credentials that an earlier call did not come to write.

    Raises:
        ConflictError: one that is there belongs to something else; nothing was written.
        Others as ``write_credentials``.
    """
    chosen, path = table.find_format(format_name), target_path(folder, device_id, format_name)
    targets = [
        (path if chosen.single_file else os.path.join(path, file.name), file)
        for file in encode(state, authority, device_id, format_name)[0]
    ]
    missing = [(target, file) for target, file in targets if not is_there(target, file)]
    if not missing:
        return
    if not chosen.single_file:
        make_private_dir(path)
        make_folders_below(path, (file for _, file in missing))
    record_export(state, authority, device_id, format_name, os.path.abspath(path))
    for target, file in missing:
        write_atomic(target, file.data, PRIVATE if file.secret else PUBLIC)


def record_export(state: State, authority: Authority, device_id: str, format_name: str, place: str) -> None:
    """Leave a sealed audit row, before the credentials leave the program.

    Raises:
        BusyError: the state is locked or the disk refuses; then nothing is exported.
    """
    with state.transaction() as now:
        certificate = current_certificate(state, device_id)
        state.record(now, device_id, serial=certificate.serial.hex, detail={"format": format_name, "path": place})
        seal_audit(state, authority)
