"""Keys of devices and brokers: whose a public key is, and the encrypted one that is kept beside a certificate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from iotonboard.store.certificates import KEY
from iotonboard.store.values import octets, text

if TYPE_CHECKING:
    from iotonboard.model import SerialNumber
    from iotonboard.store.store import Store

_SALT = "nullif(c.salt, zeroblob(length(c.salt)))"  # of one that was purged, as for KEY


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Who holds a certificate for a public key: a device or a broker."""

    name: str
    is_compromised: bool


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A device's encrypted key (PKCS#8 DER), and the salt of the password that opens it and the bundle."""

    key_der: bytes = field(repr=False)
    salt: bytes


def key_holder(store: Store, spki_sha256: bytes) -> KeyHolder | None:
    """Who holds a certificate for this public key; first of all one for whom it was revoked as keyCompromise."""
    query = (
        "SELECT coalesce(d.device_id, c.host), max(r.reason IS 'keyCompromise') FROM certificate c"
        " LEFT JOIN device d ON d.id = c.device LEFT JOIN revocation r ON r.certificate = c.id"
        " WHERE c.spki_sha256 = ? GROUP BY coalesce(d.device_id, c.host)"
        " ORDER BY 2 DESC LIMIT 1"
    )
    return store.record(lambda name, compromised: KeyHolder(text(name), bool(compromised)), query, (spki_sha256,))


def sealed_key(store: Store, serial: SerialNumber) -> SealedKey | None:
    """The key of a certificate; ``None`` when the workstation never had it, or erased it."""
    query = f"SELECT {KEY}, {_SALT} FROM certificate c WHERE serial = ?"
    return store.record(_sealed_key, query, (serial.octets,))


def _sealed_key(key_der: bytes | None, salt: bytes | None) -> SealedKey | None:
    return None if key_der is None or salt is None else SealedKey(octets(key_der), octets(salt))


def is_device_made(store: Store, serial: SerialNumber) -> bool:
    """Say whether the key of a certificate never was on the workstation; an erased key was."""
    return bool(store.row("SELECT key_der IS NULL FROM certificate WHERE serial = ?", (serial.octets,))[0])
