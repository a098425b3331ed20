"""``confirm``: record that a device took its credentials, proved by its certificate's fingerprint."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from iotonboard.ca.credentials import current_certificate
from iotonboard.errors import BusyError, IotOnboardError, NotFoundError, PolicyError
from iotonboard.store.deliveries import add_receipt, close_deliveries, confirmed_at
from iotonboard.store.devices import device_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from iotonboard.model import CertificateRecord, SerialNumber
    from iotonboard.state.state import State

_GROUP = 128  # confirmations per commit


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was reported from the line. Without fingerprint and serial, the device's valid certificate is meant."""

    device_id: str
    fingerprint: str = ""
    serial: SerialNumber | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The answer for one device. ``is_new`` is false when it was confirmed before."""

    device_id: str
    line: int = 0
    certificate: CertificateRecord | None = None
    confirmed_at: datetime | None = None
    is_new: bool = False
    error: IotOnboardError | None = None


def confirm(state: State, receipts: Iterable[Receipt]) -> Iterator[Confirmed]:
    """Record receipts in groups and yield one answer for each once it is durable; a bad one harms no other.

    Confirming again is not an error: the first time stays. The caller publishes, which clears the outbox and, with
    ``keep_keys = until-confirmed``, erases key and bundle.

    Raises:
        BusyError: the state is locked or the disk refuses; what was answered is durable.
    """
    iterator = iter(receipts)
    while group := list(islice(iterator, _GROUP)):
        with state.transaction() as now:
            answers = [_confirm(state, receipt, now) for receipt in group]
        yield from answers


def _confirm(state: State, receipt: Receipt, now: datetime) -> Confirmed:
    try:
        certificate = _find(state, receipt)
    except BusyError:
        raise  # the disk and not the row: SQLite may have ended the whole transaction
    except IotOnboardError as error:
        return Confirmed(receipt.device_id, receipt.line, error=error)
    is_new = add_receipt(state.store, certificate.serial, now, proved=bool(receipt.fingerprint))
    if is_new:
        close_deliveries(state.store, certificate.serial, "fetched")
        detail = {"confirmed": certificate.fingerprint, "proved": bool(receipt.fingerprint)}
        state.record(now, receipt.device_id, serial=certificate.serial.hex, detail=detail)
    moment = confirmed_at(state.store, certificate.serial)
    return Confirmed(receipt.device_id, receipt.line, certificate, moment, is_new)


def _find(state: State, receipt: Receipt) -> CertificateRecord:
    if not receipt.fingerprint and receipt.serial is None:
        return current_certificate(state, receipt.device_id)
    wanted = parse_fingerprint(receipt.fingerprint) if receipt.fingerprint else ""
    for certificate in device_record(state.store, receipt.device_id).certificates:
        if wanted in ("", certificate.fingerprint) and receipt.serial in (None, certificate.serial):
            return certificate
    raise NotFoundError(
        f"device {receipt.device_id!r} has no certificate with that fingerprint or serial",
        hint=f"'iotonboard show {receipt.device_id} --json' prints them; is it the right device?",
    )


def parse_fingerprint(text: str) -> str:
    """A SHA-256 fingerprint in lower case without colons, as ``openssl x509 -fingerprint`` or this program prints it.

    Raises:
        PolicyError: it is none.
    """
    digits = text.rpartition("=")[2].replace(":", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise PolicyError(
            f"{text[:80]!r} is not a SHA-256 fingerprint", hint="use the 64 hexadecimal digits of the certificate"
        )
    return digits
