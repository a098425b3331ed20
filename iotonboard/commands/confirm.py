"""``confirm``: record that devices took their credentials, proved by what they report of their certificate or key.

1. Record receipts in groups; what was handed over counts as fetched.
2. Purge what the policy ``keep_keys`` gives up now: with ``until-confirmed`` key and bundle of these devices.
3. Publish: files of what was purged go, the outbox is cleared, SQLite's log is emptied of secrets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from iotonboard.ca.credentials import current_certificate
from iotonboard.errors import BusyError, IotOnboardError, NotFoundError, PolicyError, quoted
from iotonboard.ids import in_command
from iotonboard.model import Refused, SerialNumber
from iotonboard.pki.facts import certificate_facts
from iotonboard.state.erasure import apply_keep_keys, finish_erasures
from iotonboard.state.publication import publish, publish_device_files, refuse_unpublished, settle_deliveries
from iotonboard.store.deliveries import add_receipt, close_deliveries, confirmed_at
from iotonboard.store.devices import device_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from iotonboard.model import CertificateRecord, Target
    from iotonboard.state.state import State

_GROUP = 128  # confirmations per commit


@dataclass(frozen=True, slots=True)
class Confirmed:
    """One certificate that was taken, and when that was recorded first. ``is_new`` is false when it was before.

    ``is_proved_now``: it was before, without a proof, and here is one.
    """

    device_id: str
    certificate: CertificateRecord
    confirmed_at: datetime
    is_new: bool
    is_proved_now: bool


def confirm(state: State, targets: Iterable[Target | Refused]) -> Iterator[Confirmed | Refused]:
    """Record receipts and yield what became of each once it is durable; one that is refused harms no other.

    Without fingerprint and serial, the device's valid certificate is meant. Confirming again is not an error: the
    first time stays.

    Raises:
        BusyError: the state is locked or the disk refuses; what was yielded is durable.
    """
    iterator = iter(targets)
    while group := list(islice(iterator, _GROUP)):
        with state.transaction() as now:
            confirmed = [_confirm(state, target, now) for target in group]
        yield from confirmed
    apply_keep_keys(state)
    unpublished = publish(state, publish_device_files, settle_deliveries)
    finish_erasures(state)
    refuse_unpublished(unpublished)


def _confirm(state: State, target: Target | Refused, now: datetime) -> Confirmed | Refused:
    if isinstance(target, Refused):
        return target
    try:
        certificate = _find(state, target)
    except BusyError:
        raise  # the disk and not the row: SQLite may have ended the whole transaction
    except IotOnboardError as error:
        return Refused(target.device_id, target.line, error)
    before = confirmed_at(state.store, certificate.serial)
    is_recorded = add_receipt(state.store, certificate.serial, now, proved=target.is_reported)
    if is_recorded:
        close_deliveries(state.store, certificate.serial, "fetched")
        detail = {"confirmed": certificate.fingerprint, "proved": target.is_reported}
        state.record(now, target.device_id, serial=certificate.serial.hex, detail=detail)
    is_new = before is None
    return Confirmed(target.device_id, certificate, before or now, is_new, is_recorded and not is_new)


def _find(state: State, target: Target) -> CertificateRecord:
    if not target.fingerprint and not target.serial and not target.spki_sha256:
        return current_certificate(state, target.device_id)
    fingerprint = parse_fingerprint(target.fingerprint) if target.fingerprint else None
    serial = SerialNumber.from_hex(target.serial) if target.serial else None
    for certificate in device_record(state.store, target.device_id).certificates:
        is_meant = fingerprint in (None, certificate.fingerprint) and serial in (None, certificate.serial)
        if is_meant and target.spki_sha256 in (b"", certificate_facts(certificate.der).spki_sha256):
            return certificate
    what = "of that public key" if target.spki_sha256 else "with that fingerprint or serial"
    raise NotFoundError(
        f"device {target.device_id!r} has no certificate {what}",
        hint=f"'iotonboard show {in_command(target.device_id)} --json' prints them; is it the right device?",
    )


def parse_fingerprint(text: str) -> str:
    """A SHA-256 fingerprint in lower case without colons, as ``openssl x509 -fingerprint`` or this program prints it.

    Blanks, and the invisible marks that come along when a text is copied, are left out.

    Raises:
        PolicyError: it is none.
    """
    digits = "".join(
        letter for letter in text.rpartition("=")[2].lower() if letter.isprintable() and letter not in ": "
    )
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise PolicyError(
            f"{quoted(text)} is not a SHA-256 fingerprint", hint="use the 64 hexadecimal digits of the certificate"
        )
    return digits
