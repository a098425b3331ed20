"""From an order to a certificate with everything that is recorded beside it. No I/O: it runs in worker processes."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from iotonboard import bundle
from iotonboard.credential import Credential
from iotonboard.errors import IotOnboardError
from iotonboard.pki.issuance import issue_device
from iotonboard.pki.keys import (
    RANDOM_ITERATIONS,
    dump_key,
    encrypt_key,
    generate_key,
    load_key,
    load_public_key,
    spki_der,
)
from iotonboard.record import dataclass, field
from iotonboard.store import NewCertificate
from iotonboard.vault import SALT_OCTETS

if TYPE_CHECKING:
    from iotonboard.model import DeviceId, KeyType, SerialNumber, Validity
    from iotonboard.pki.issuance import Issuer
    from iotonboard.pki.keys import PrivateKey
    from iotonboard.pki.profiles import DeviceProfile
    from iotonboard.vault import Vault

_BLOCK_OCTETS = 16


@dataclass(frozen=True, slots=True)
class KeptKey:
    """The key of an earlier certificate, encrypted as it lies in the store, with what its password is made from."""

    encrypted: bytes = field(repr=False)
    serial: SerialNumber
    salt: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Order:
    """One certificate that is to be issued.

    For the public key in ``csr_spki_der``, for the key of an earlier certificate, or for a new key of ``key_type``.
    """

    device_id: DeviceId
    serial: SerialNumber
    validity: Validity
    key_type: KeyType
    csr_spki_der: bytes | None = None
    with_bundle: bool = True
    kept_key: KeptKey | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """A signed certificate with its encrypted key, its bundle and the password of both. Not yet released."""

    certificate: NewCertificate
    bundle: bytes | None = field(repr=False)
    password: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything that issuing needs: CA, its chain, what devices trust, vault and profile of a certificate."""

    issuer: Issuer
    chain: tuple[bytes, ...]
    anchors: tuple[bytes, ...]
    vault: Vault
    profile: DeviceProfile

    def issue(self, order: Order) -> Issued:
        """Make the key, sign the linted certificate, encrypt the key, build the bundle.

        Raises:
            LintError: the certificate would break a rule; nothing was signed.
        """
        key = None if order.csr_spki_der else self._key(order)
        public_key = key.public_key() if key else load_public_key(order.csr_spki_der or b"")
        der = issue_device(self.issuer, public_key, order.device_id, order.serial, order.validity, self.profile)
        spki = hashlib.sha256(spki_der(public_key)).digest()
        if key is None:
            return Issued(NewCertificate(order.serial, order.validity, der, spki, None, None), None, None)
        salt = os.urandom(SALT_OCTETS)
        password = self.vault.bundle_password(order.serial, salt)
        key_der = dump_key(key)
        encrypted = encrypt_secret(key_der, password)
        certificate = NewCertificate(order.serial, order.validity, der, spki, encrypted, salt)
        if not order.with_bundle:
            return Issued(certificate, None, password)
        credential = Credential(
            order.device_id, order.serial, order.validity, der, key_der, self.chain, anchors=self.anchors
        )
        return Issued(certificate, bundle.build_bundle(credential, password), password)

    def _key(self, order: Order) -> PrivateKey:
        kept = order.kept_key
        if kept is None:
            return generate_key(order.key_type)
        return load_key(kept.encrypted, self.vault.bundle_password(kept.serial, kept.salt).encode("ascii"))


def issue_each(desk: Desk, orders: list[Order]) -> list[Issued | IotOnboardError]:
    """Issue a group; an order that is refused leaves its error in its place."""
    results: list[Issued | IotOnboardError] = []
    for order in orders:
        try:
            results.append(desk.issue(order))
        except IotOnboardError as error:
            results.append(error)
    return results


def encrypt_secret(key_der: bytes, password: str) -> bytes:
    """Encrypt a key under a password of 128 random bits; PKCS#8 DER."""
    noise = os.urandom(2 * _BLOCK_OCTETS)
    return encrypt_key(
        key_der,
        password.encode("ascii"),
        iterations=RANDOM_ITERATIONS,
        salt=noise[:_BLOCK_OCTETS],
        iv=noise[_BLOCK_OCTETS:],
    )
