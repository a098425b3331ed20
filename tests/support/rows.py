"""A store with rows of its own, without certificates that anybody signed: for the queries alone."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from iotonboard.model import DeviceId, RevocationReason, SerialNumber, Validity
from iotonboard.store.certificates import NewCertificate, add_certificate
from iotonboard.store.devices import add_device, find_device
from iotonboard.store.issuers import add_issuer
from iotonboard.store.revocations import add_revocation
from iotonboard.store.store import Store

NOW = datetime(2030, 1, 1, tzinfo=UTC)
YEAR = Validity(NOW, NOW + timedelta(days=365))
PAST = Validity(NOW - timedelta(days=400), NOW - timedelta(days=35))


def make_store(folder: Path) -> Store:
    """An open store with one CA, its row number 1."""
    store = Store.open(str(folder / "devices.db"), timeout_s=1, now=NOW, create=True)
    with store.transaction():
        add_issuer(store, SerialNumber(1 << 100), YEAR, b"ca", "ca.key", NOW)
    return store


def give(store: Store, name: str, serial: int, validity: Validity = YEAR, *, issuer: int = 1) -> SerialNumber:
    """A certificate for a device, which is registered when it is new; inside the caller's transaction."""
    if find_device(store, name) is None:
        add_device(store, DeviceId(name), "", {}, NOW)
    number, digest = SerialNumber(serial), hashlib.sha256(b"%d" % serial).digest()
    new = NewCertificate(number, validity, b"certificate", "", digest, b"key %03d" % serial, b"salt")
    add_certificate(store, new, issuer=issuer, device_id=name, now=NOW)
    return number


def take(store: Store, serial: int, reason: RevocationReason = RevocationReason.SUPERSEDED) -> None:
    """Revoke a certificate; its CRL entry holds its serial."""
    add_revocation(store, SerialNumber(serial), NOW, reason, b"entry %03d" % serial)
