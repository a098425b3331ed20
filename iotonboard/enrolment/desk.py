"""From an order to a certificate with everything that is recorded beside it. No I/O: it runs in worker processes."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.ca.vault import SALT_OCTETS
from iotonboard.delivery import bundle
from iotonboard.delivery.credential import Credential
from iotonboard.errors import IotOnboardError, KeyUnavailableError, TokenLostError
from iotonboard.model import Refused
from iotonboard.pki import profiled
from iotonboard.pki.certificates import issue_device
from iotonboard.pki.keys import dump_key, encrypt_key, generate_key, load_key, load_public_key, spki_der
from iotonboard.store.certificates import NewCertificate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iotonboard.ca.vault import Vault
    from iotonboard.model import DeviceId, KeyType, SerialNumber, Validity
    from iotonboard.pki.issuer import Issuer
    from iotonboard.pki.keys import PrivateKey, PublicKey
    from iotonboard.pki.profile_values import FilledProfile
    from iotonboard.pki.profiles import DeviceProfile

_BLOCK_OCTETS = 16
_ITERATIONS = 1  # of PBKDF2: they slow guessing, and nobody guesses 128 random bits (RFC 8018 4.2)


@dataclass(frozen=True, slots=True)
class KeptKey:
    """The key of an earlier certificate, encrypted as it lies in the store, with its password.

    ``spki_der``: what that certificate certified, SubjectPublicKeyInfo.
    """

    encrypted: bytes = field(repr=False)
    password: str = field(repr=False)
    spki_der: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Order:
    """One certificate that is to be issued.

    For the public key in ``csr_spki_der``, for the key of an earlier certificate, or for a new key of ``key_type``.
    ``line`` of the list that asks for it; 0: not from a list. ``profile``: what it gets, where it is not an MQTT
    client's, and ``profile_content`` as that is kept with it.
    """

    device_id: DeviceId
    line: int
    serial: SerialNumber
    validity: Validity
    key_type: KeyType
    csr_spki_der: bytes | None = None
    with_bundle: bool = True
    kept_key: KeptKey | None = None
    profile: FilledProfile | None = None
    profile_content: str = ""


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

    def issue_all(self, orders: Iterable[Order]) -> list[Issued | Refused]:
        """Issue one certificate after the other; an order that is refused harms no other.

        Raises:
            TokenLostError: the token that holds the CA key went away.
        """
        return [self._issue_or_refuse(order) for order in orders]

    def _issue_or_refuse(self, order: Order) -> Issued | Refused:
        try:
            return self.issue(order)
        except TokenLostError:
            raise  # no other device fares better
        except IotOnboardError as error:
            return Refused(order.device_id, order.line, error)

    def issue(self, order: Order) -> Issued:
        """Make the key, issue the certificate, encrypt the key and build the bundle.

        Raises:
            PolicyError: the public key is not supported, or the lint refused the certificate.
            KeyUnavailableError: the kept key cannot be opened, or is not that of its certificate.
        """
        private, public = self._key(order)
        der = self._certificate(order, public)
        digests = sha256(der).hexdigest(), sha256(spki_der(public)).digest()
        if private is None:
            return Issued(NewCertificate(order.serial, order.validity, der, *digests, None, None), None, None)
        salt = os.urandom(SALT_OCTETS)
        password = self.vault.bundle_password(order.serial, salt)
        key_der = dump_key(private)
        encrypted = encrypt_secret(key_der, password)
        certificate = NewCertificate(order.serial, order.validity, der, *digests, encrypted, salt)
        if not order.with_bundle:
            return Issued(certificate, None, password)
        credential = Credential(
            order.device_id, order.serial, order.validity, der, key_der, self.chain, anchors=self.anchors
        )
        return Issued(certificate, bundle.build_bundle(credential, password), password)

    def _certificate(self, order: Order, public: PublicKey) -> bytes:
        if order.profile:
            return profiled.issue_profiled(self.issuer, public, order.profile, order.serial, order.validity)
        return issue_device(self.issuer, public, order.device_id, order.serial, order.validity, self.profile)

    def _key(self, order: Order) -> tuple[PrivateKey | None, PublicKey]:
        """The device's key; only its public half when the device keeps it."""
        if order.csr_spki_der:
            return None, load_public_key(order.csr_spki_der)
        kept = order.kept_key
        private = _open_kept(kept, order.device_id) if kept else generate_key(order.key_type)
        return private, private.public_key()


def _open_kept(kept: KeptKey, device_id: DeviceId) -> PrivateKey:
    """Open the key of an earlier certificate, and hold it against that."""
    with contextlib.suppress(KeyUnavailableError):
        private = load_key(kept.encrypted, kept.password.encode("ascii"))
        if spki_der(private.public_key()) == kept.spki_der:
            return private
    raise KeyUnavailableError(
        f"the key of {str(device_id)!r} is not that of its certificate",
        hint="somebody changed the database: look at 'iotonboard health --deep', then restore the latest backup",
    )


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
