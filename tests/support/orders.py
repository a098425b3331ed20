"""An office that only signs: its key and certificate, and orders as a station gets them."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509
from iotonboard.exchange.journal import TrailPoint
from iotonboard.exchange.orders import OrderedProduction, OrderedRevocation, Orders, sign_orders
from iotonboard.model import KeyType, RevocationReason, SerialNumber, Validity
from iotonboard.pki import pem
from iotonboard.pki.ca_profiles import CaProfile, StationProfile, Subject
from iotonboard.pki.certificates import certify_station, make_ca
from iotonboard.pki.issuer import load_issuer
from iotonboard.pki.key_id import key_id
from iotonboard.pki.keys import generate_key
from iotonboard.pki.signatures import SoftwareSigner

from support.program import State

NOW = datetime(2030, 1, 1, tzinfo=UTC)
NOTHING = TrailPoint(0, bytes(32))
BEGUN, LATER = datetime(2020, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Signing:
    """A machine of an office with its chain (DER), its own certificate first."""

    signer: SoftwareSigner
    chain: tuple[bytes, ...]
    registry: str = "plant"

    @property
    def fingerprint(self) -> str:
        """What a station compares."""
        return sha256(self.chain[-1]).hexdigest()

    def write_certificate(self, folder: Path) -> Path:
        path = folder / "office.crt"
        path.write_bytes(b"".join(pem.pem_encode("CERTIFICATE", der) for der in self.chain))
        return path

    def trusted_by(self, state: State, folder: Path) -> None:
        state.run("order", "trust", self.write_certificate(folder), "--fingerprint", self.fingerprint)

    def orders(self, state: State, number: int, **more: Any) -> Orders:
        """Orders for a station."""
        ca = next(iter(pem.pem_blocks("CERTIFICATE", state.ca_cert.read_bytes())))
        values = {"acknowledged": NOTHING, "created": NOW, "station": key_id(ca), "office": self.registry, **more}
        return Orders(number=number, **values)

    def write(self, path: Path, orders: Orders) -> Path:
        path.write_bytes(sign_orders(orders, self.signer, self.chain))
        return path

    def machine(self) -> Signing:
        """A further machine, whose certificate this one signs."""
        key = SoftwareSigner(generate_key(KeyType.EC_P256))
        return Signing(key, (_certificate("machine 2", key, self), *self.chain), self.registry)


def make_signing(registry: str = "plant") -> Signing:
    """The first machine of an office."""
    key = SoftwareSigner(generate_key(KeyType.EC_P256))
    return Signing(key, (_certificate("office", key, None),), registry)


def _certificate(name: str, key: SoftwareSigner, above: Signing | None) -> bytes:
    serial, validity = SerialNumber.from_random(os.urandom(20)), Validity(BEGUN, LATER)
    if above is None:
        return make_ca(CaProfile(Subject(name), is_root=True), key, serial, validity)
    issuer = load_issuer(above.chain[0], above.signer)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    return certify_station(issuer, key.public_key(), subject, serial, validity, StationProfile())


def revocation(number: int, serial: str, device_id: str, reason: str = "keyCompromise") -> OrderedRevocation:
    return OrderedRevocation(number, SerialNumber.from_hex(serial), device_id, RevocationReason(reason), NOW)


def production(
    number: int, devices: int, profile: str = "", until: datetime = LATER, **more: bool
) -> OrderedProduction:
    return OrderedProduction(number, devices, profile, until, **more)


def newest_point(state: State) -> TrailPoint:
    """What an office that took everything says of a station's trail."""
    with closing(sqlite3.connect(state.path / "devices.db")) as database:
        return TrailPoint(*database.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone())
