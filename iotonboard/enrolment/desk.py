"""From an order to a certificate with everything that is recorded beside it. No I/O: it runs in worker processes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar

from iotonboard.ca.vault import SALT_OCTETS
from iotonboard.delivery import bundle
from iotonboard.delivery.credential import Credential
from iotonboard.errors import IotOnboardError
from iotonboard.pki.certificates import issue_device
from iotonboard.pki.keys import dump_key, encrypt_key, generate_key, load_key, load_public_key, spki_der
from iotonboard.store.certificates import NewCertificate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from iotonboard.ca.vault import Vault
    from iotonboard.model import DeviceId, KeyType, SerialNumber, Validity
    from iotonboard.pki.issuer import Issuer
    from iotonboard.pki.keys import PrivateKey, PublicKey
    from iotonboard.pki.profiles import DeviceProfile

_BLOCK_OCTETS = 16
_ITERATIONS = 1  # of PBKDF2: they slow guessing, and nobody guesses 128 random bits (RFC 8018 4.2)

_Made = TypeVar("_Made")


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
class _Key:
    """A device's key. ``private`` is ``None`` when the device keeps it."""

    private: PrivateKey | None = field(repr=False)
    public: PublicKey


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything that issuing needs: CA, its chain, what devices trust, vault and profile of a certificate."""

    issuer: Issuer
    chain: tuple[bytes, ...]
    anchors: tuple[bytes, ...]
    vault: Vault
    profile: DeviceProfile

    def issue(self, orders: Sequence[Order]) -> list[Issued | IotOnboardError]:
        """Make the keys, issue the certificates, encrypt the keys and build the bundles.

        One result for each order; one that is refused leaves its error in its place. Each step is taken for all
        orders before the next one: each evicts what the others keep in a processor's cache, so that taking all steps
        for one order after the other takes half as long again.
        """
        keys = _each(self._key, orders)
        ders = _each(self._certify, orders, keys)
        return _each(self._pack, orders, keys, ders)

    def _key(self, order: Order) -> _Key:
        if order.csr_spki_der:
            return _Key(None, load_public_key(order.csr_spki_der))
        kept = order.kept_key
        if kept is None:
            private = generate_key(order.key_type)
        else:
            password = self.vault.bundle_password(kept.serial, kept.salt)
            private = load_key(kept.encrypted, password.encode("ascii"))
        return _Key(private, private.public_key())

    def _certify(self, order: Order, key: _Key) -> bytes:
        return issue_device(self.issuer, key.public, order.device_id, order.serial, order.validity, self.profile)

    def _pack(self, order: Order, key: _Key, der: bytes) -> Issued:
        digests = sha256(der).hexdigest(), sha256(spki_der(key.public)).digest()
        if key.private is None:
            return Issued(NewCertificate(order.serial, order.validity, der, *digests, None, None), None, None)
        salt = os.urandom(SALT_OCTETS)
        password = self.vault.bundle_password(order.serial, salt)
        key_der = dump_key(key.private)
        encrypted = encrypt_secret(key_der, password)
        certificate = NewCertificate(order.serial, order.validity, der, *digests, encrypted, salt)
        if not order.with_bundle:
            return Issued(certificate, None, password)
        credential = Credential(
            order.device_id, order.serial, order.validity, der, key_der, self.chain, anchors=self.anchors
        )
        return Issued(certificate, bundle.build_bundle(credential, password), password)


def _each(step: Callable[..., _Made], *columns: Sequence[object]) -> list[_Made | IotOnboardError]:
    """Take one step with each row of what it needs; a row that is refused, or was before, becomes its error."""
    return [_one(step, row) for row in zip(*columns, strict=True)]


def _one(step: Callable[..., _Made], row: tuple[object, ...]) -> _Made | IotOnboardError:
    for value in row:
        if isinstance(value, IotOnboardError):
            return value
    try:
        return step(*row)
    except IotOnboardError as error:
        return error


def encrypt_secret(key_der: bytes, password: str) -> bytes:
    """Encrypt a key under a password of 128 random bits; PKCS#8 DER."""
    noise = os.urandom(2 * _BLOCK_OCTETS)
    return encrypt_key(
        key_der,
        password.encode("ascii"),
        iterations=_ITERATIONS,
        salt=noise[:_BLOCK_OCTETS],
        iv=noise[_BLOCK_OCTETS:],
    )
