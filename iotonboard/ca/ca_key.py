"""A CA's private key as the rest of the program knows it: it signs, and it opens the vault.

Only this file knows that it lies in a file, encrypted under a passphrase; a key in a token would be another class
with the methods of ``CaKey``.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from iotonboard.errors import KeyUnavailableError, NotPrivateWarning
from iotonboard.pki import pem
from iotonboard.pki.keys import (
    HUMAN_ITERATIONS,
    RANDOM_ITERATIONS,
    dump_key,
    encrypt_key,
    generate_key,
    kdf_iterations,
    load_key,
)
from iotonboard.pki.signatures import SoftwareSigner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.model import KeyType
    from iotonboard.pki.keys import PrivateKey
    from iotonboard.pki.signatures import Signer

CA_KEY_FILE: Final = "ca.key"
MAX_KEY_FILE_OCTETS: Final = 1 << 16
_WRAPPING_KEY_LABEL: Final = b"iotonboard vault wrapping key v1"


class CaKey(Protocol):
    """The key of one CA."""

    @property
    def signer(self) -> Signer:
        """What signs with it."""

    def wrap(self, vault_key: bytes) -> bytes:
        """Encrypt the vault key, so that only whoever can use this key can read it."""

    def unwrap(self, wrapped: bytes) -> bytes:
        """Decrypt what ``wrap`` made.

        Raises:
            KeyUnavailableError: another CA key wrapped it, or it was damaged.
        """

    def dump(self, passphrase: Passphrase | None) -> bytes:
        """Write the content of the key's file."""


@dataclass(frozen=True, slots=True)
class SoftwareKey:
    """A key that lies in a file, and while it is used in this process's memory."""

    key: PrivateKey = field(repr=False)

    @property
    def signer(self) -> Signer:
        """What signs with it."""
        return SoftwareSigner(self.key)

    def wrap(self, vault_key: bytes) -> bytes:
        """Encrypt the vault key (RFC 3394) under a key that HKDF (RFC 5869) derives from the private value."""
        return aes_key_wrap(self._wrapping_key(), vault_key)

    def unwrap(self, wrapped: bytes) -> bytes:
        """Decrypt what ``wrap`` made.

        Raises:
            KeyUnavailableError: another CA key wrapped it, or it was damaged.
        """
        try:
            return aes_key_unwrap(self._wrapping_key(), wrapped)
        except InvalidUnwrap:
            raise KeyUnavailableError(
                "the CA key does not open this state's vault",
                hint="bring back the key that belongs to this state",
            ) from None

    def _wrapping_key(self) -> bytes:
        kdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=_WRAPPING_KEY_LABEL)
        return kdf.derive(_private_value(self.key))

    def dump(self, passphrase: Passphrase | None) -> bytes:
        """Write the key as PEM: PBES2 with a slow KDF for a human's passphrase, a fast one for a random key file."""
        plain = dump_key(self.key)
        if passphrase is None:
            return pem.pem_encode("PRIVATE KEY", plain)
        iterations = RANDOM_ITERATIONS if passphrase.is_random_key else HUMAN_ITERATIONS
        der = encrypt_key(plain, passphrase.octets, iterations=iterations, salt=os.urandom(16), iv=os.urandom(16))
        return pem.pem_encode("ENCRYPTED PRIVATE KEY", der)


def _private_value(key: PrivateKey) -> bytes:
    """Write the private value in an encoding that never changes: the vault is opened with it."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.private_numbers().d.to_bytes((key.key_size + 7) // 8)
    return key.private_bytes_raw()


def generate_ca_key(key_type: KeyType) -> CaKey:
    """Make a new key."""
    return SoftwareKey(generate_key(key_type))


def load_ca_key(content: bytes, passphrase: Passphrase | None) -> CaKey:
    """Open the content of a CA's key file.

    Raises:
        KeyUnavailableError: it holds no key, or the passphrase does not open it.

    Warns (``NotPrivateWarning``) where a passphrase that is no key file's is stretched too little.
    """
    key = _load(content, passphrase.spellings if passphrase else (None,))
    if passphrase and not passphrase.is_random_key:
        _warn_if_quick(content)
    return SoftwareKey(key)


def _load(content: bytes, spellings: Sequence[bytes | None]) -> PrivateKey:
    *first, last = spellings
    for spelling in first:
        with contextlib.suppress(KeyUnavailableError):
            return load_key(content, spelling)
    return load_key(content, last)


def _warn_if_quick(content: bytes) -> None:
    """Tell of a key that few rounds keep, where they are no key file's: earlier versions took more for random."""
    for der in pem.pem_blocks("ENCRYPTED PRIVATE KEY", content):
        rounds = kdf_iterations(der)
        if rounds is not None and rounds < HUMAN_ITERATIONS:
            text = f"the passphrase of the CA key can be guessed quickly ({rounds} rounds); type: iotonboard ca passwd"
            warnings.warn(text, NotPrivateWarning, stacklevel=2)
