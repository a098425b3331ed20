"""``deliver``: hand a bundle over, for a limited time below the outbox or as a copy on a disk.

The delivery is recorded before a byte is written, so a crash leaves a recorded delivery or none.
"""

from __future__ import annotations

import os
import secrets
import shlex
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.ca.credentials import check_certificate, credential_of, current_certificate, open_secret, refuse_purged
from iotonboard.delivery import bundle
from iotonboard.disk.files import create_exclusive, remove_file
from iotonboard.disk.reading import read_back, read_file
from iotonboard.disk.walking import no_folder
from iotonboard.enrolment.each_device import for_each
from iotonboard.errors import BusyError, ConflictError, IotOnboardError, KeyUnavailableError, NotFoundError, PolicyError
from iotonboard.ids import folder_name
from iotonboard.state.erasure import apply_keep_keys, finish_erasures
from iotonboard.state.outbox import delivery_path
from iotonboard.state.publication import publish, publish_device_files, refuse_unpublished, settle_deliveries
from iotonboard.store.deliveries import add_delivery, set_outcome, set_written
from iotonboard.store.devices import device_record
from iotonboard.store.pending import add_pending, recorded_bundle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from iotonboard.ca.authority import Authority, Unlock
    from iotonboard.model import CertificateRecord, Refused, Target
    from iotonboard.state.state import State

_TOKEN_OCTETS = 16
_MAX_BUNDLE = 1 << 20


@dataclass(frozen=True, slots=True)
class Delivered:
    """One bundle that was handed over. ``expires_at`` is ``None`` for a copy on a disk."""

    device_id: str
    certificate: CertificateRecord
    path: str
    sha256: str
    expires_at: datetime | None
    is_new: bool = True


def deliver(
    state: State, targets: Iterable[Target | Refused], unlock: Unlock, *, minutes: int | None = None
) -> Iterator[Delivered | Refused]:
    """Put devices' bundles below the outbox until ``minutes`` from now, or as long as the settings say.

    Yields one delivery for each device as soon as it is there; a row of a list that is refused harms no other. The CA
    is unlocked only when a bundle has to be made.

    Raises:
        NotFoundError: no such device or valid certificate, or its secrets were purged.
        KeyUnavailableError: the bundle in the device's folder is not the one that was made.
        PolicyError: the device made its own key: there is no bundle.
        BusyError: the state is locked or the disk refuses.
    """
    _make_ready(state)
    life = minutes or state.config["download_expiry_minutes"]
    yield from for_each(targets, lambda device_id: _deliver_link(state, device_id, unlock, life))


def deliver_to(
    state: State, targets: Iterable[Target | Refused], unlock: Unlock, folder: str
) -> Iterator[Delivered | Refused]:
    """Copy devices' bundles to ``folder`` as ``ID.zip``, read each back and record the copy.

    A copy that is there already, octet for octet, is left and answered. Yields and unlocks as ``deliver``.

    Raises:
        ConflictError: another file, or a link, has that name.
        NotFoundError: no such folder, device or valid certificate, or its secrets were purged.
        PolicyError: the device made its own key: there is no bundle.
        BusyError: the disk refuses, or gave back other octets than were written.
    """
    if not os.path.isdir(folder):
        raise NotFoundError(
            no_folder(folder), hint=f"mount the disk, or make the folder: mkdir -p {shlex.quote(folder)}"
        )
    _make_ready(state)
    yield from for_each(targets, lambda device_id: _deliver_copy(state, device_id, unlock, folder))


def _deliver_link(state: State, device_id: str, unlock: Unlock, minutes: int) -> Delivered:
    certificate, content = _bundle(state, device_id, unlock)
    token = secrets.token_hex(_TOKEN_OCTETS)
    path, digest = delivery_path(state.paths, token), sha256(content).digest()
    with state.transaction() as now:
        expires_at = now + timedelta(minutes=minutes)
        refuse_purged(state, device_id, certificate.serial)
        add_delivery(
            state.store, certificate.serial, token=token, place=path, sha256=digest, now=now, expires_at=expires_at
        )  # fmt: skip
        detail = {"delivery": "outbox", "minutes": minutes, "sha256": digest.hex()}
        state.record(now, device_id, serial=certificate.serial.hex, detail=detail)
    refuse_unpublished(publish(state, settle_deliveries))
    return Delivered(device_id, certificate, path, digest.hex(), expires_at)


def _deliver_copy(state: State, device_id: str, unlock: Unlock, folder: str) -> Delivered:
    certificate, content = _bundle(state, device_id, unlock)
    path, digest = os.path.join(os.path.abspath(folder), f"{folder_name(device_id)}.zip"), sha256(content).digest()
    if os.path.lexists(path):
        if os.path.islink(path) or not os.path.isfile(path) or read_file(path, limit=_MAX_BUNDLE) != content:
            raise ConflictError(f"{path!r} exists already", hint="choose another folder")
        return Delivered(device_id, certificate, path, digest.hex(), None, is_new=False)
    with state.transaction() as now:
        refuse_purged(state, device_id, certificate.serial)
        delivery = add_delivery(
            state.store, certificate.serial, token="", place=path, sha256=digest, now=now, expires_at=None
        )  # fmt: skip
        detail = {"delivery": "copy", "path": path, "sha256": digest.hex()}
        state.record(now, device_id, serial=certificate.serial.hex, detail=detail)
    try:
        create_exclusive(path, content)
        if sha256(read_back(path)).digest() != digest:
            remove_file(path)
            raise BusyError(f"{path!r} reads back differently: the disk is bad", hint="use another disk")
    except IotOnboardError:
        _close(state, delivery, device_id, certificate, "failed")
        raise
    _close(state, delivery, device_id, certificate, "copied")
    return Delivered(device_id, certificate, path, digest.hex(), None)


def _close(state: State, delivery: int, device_id: str, certificate: CertificateRecord, outcome: str) -> None:
    with state.transaction() as now:
        set_written(state.store, delivery, now)
        set_outcome(state.store, delivery, outcome)
        state.record(now, device_id, serial=certificate.serial.hex, detail={"delivery": outcome})


def _make_ready(state: State) -> None:
    """Make sure that the bundle in the device's folder may be handed over, and is the newest.

    What a killed command recorded may not be written yet, and the policy may give up a key by now.
    """
    apply_keep_keys(state)
    refuse_unpublished(publish(state, publish_device_files))
    finish_erasures(state)


def _bundle(state: State, device_id: str, unlock: Unlock) -> tuple[CertificateRecord, bytes]:
    """The device's published bundle; made and published first when there is none.

    Raises:
        KeyUnavailableError: it is another one than was made, or the certificate in the device's row is another one's.
    """
    certificate = current_certificate(state, device_id)
    refuse_purged(state, device_id, certificate.serial)
    if not certificate.has_key:
        raise PolicyError(
            f"the key of {device_id!r} never left the device: there is no bundle",
            hint="'iotonboard export ID --format pem' writes its certificate and the CA's",
        )
    check_certificate(state, device_id, certificate)
    path = state.paths.device(device_id).bundle
    is_newest = device_record(state.store, device_id).certificates[0].serial == certificate.serial
    if not is_newest or recorded_bundle(state.store, certificate.serial) is None or not os.path.exists(path):
        _make_bundle(state, device_id, certificate, unlock())
    content = read_file(path, limit=_MAX_BUNDLE)
    if sha256(content).digest() != recorded_bundle(state.store, certificate.serial):
        raise KeyUnavailableError(
            f"{path!r} is not the bundle that was made for {device_id!r}",
            hint="look at who can write there, then 'iotonboard health --repair' makes it anew with the same password",
        )
    return certificate, content


def _make_bundle(state: State, device_id: str, certificate: CertificateRecord, authority: Authority) -> None:
    key_der, password = open_secret(state, authority, certificate.serial)
    credential = credential_of(state, authority, device_id, certificate, key_der)
    content = bundle.build_bundle(credential, password or "")
    with state.transaction() as now:
        refuse_purged(state, device_id, certificate.serial)
        add_pending(state.store, certificate.serial, content)
        detail = {"bundle": sha256(content).hexdigest()}
        state.record(now, device_id, serial=certificate.serial.hex, detail=detail)
    refuse_unpublished(publish(state, publish_device_files))
