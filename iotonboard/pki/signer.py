"""Signing keys that look before they sign.

``sign_tbs`` calls ``key.sign(tbs, ...)`` with the exact octets that will be signed. A key class of
our own in that place lets every TBSCertificate and TBSCertList be checked first, with one signature and no
second encoding. The same seam takes a key that lives in a token: its ``sign`` would call out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from iotonboard.model import KeyType
from iotonboard.pki import der
from iotonboard.pki.keys import key_type_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric import utils
    from cryptography.utils import Buffer

    from iotonboard.pki.keys import PrivateKey, PublicKey

    # Raises when the octets must not be signed.
    Inspect: TypeAlias = Callable[[bytes], None]

_SHA256_RSA: Final = der.sequence(der.oid("1.2.840.113549.1.1.11"), der.NULL)  # RFC 4055 section 5
_ALGORITHMS: Final = {
    KeyType.EC_P256: der.sequence(der.oid("1.2.840.10045.4.3.2")),  # RFC 5758 3.2: parameters absent
    KeyType.EC_P384: der.sequence(der.oid("1.2.840.10045.4.3.3")),
    KeyType.RSA_2048: _SHA256_RSA,
    KeyType.RSA_3072: _SHA256_RSA,
    KeyType.RSA_4096: _SHA256_RSA,
    KeyType.ED25519: der.sequence(der.oid("1.3.101.112")),  # RFC 8410 section 3
}


def signature_algorithm(public_key: PublicKey) -> bytes:
    """Write the AlgorithmIdentifier (DER) of the signatures that this key makes (RFC 5280 4.1.1.2).

    Raises:
        PolicyError: the key's type is not supported.

    """
    return _ALGORITHMS[key_type_of(public_key)]


def signature_hash(public_key: PublicKey) -> hashes.SHA256 | hashes.SHA384 | None:
    """Choose the digest that goes with the key: SHA-384 for P-384, none for Ed25519, SHA-256 for the rest."""
    key_type = key_type_of(public_key)
    if key_type is KeyType.ED25519:
        return None
    return hashes.SHA384() if key_type is KeyType.EC_P384 else hashes.SHA256()


def sign_tbs(key: PrivateKey, tbs: bytes) -> bytes:
    """Sign octets with the key's own algorithm; returns the content of the signatureValue BIT STRING."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(tbs)
    digest = signature_hash(key.public_key()) or hashes.SHA256()
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(tbs, padding.PKCS1v15(), digest)
    return key.sign(tbs, ec.ECDSA(digest))


def verify_tbs(public_key: object, algorithm: bytes, signature: bytes, tbs: bytes) -> bool:
    """Say whether ``signature`` is over ``tbs`` with the key's own algorithm, named by ``algorithm`` (DER).

    Raises:
        PolicyError: the key's type is not supported.

    """
    if algorithm != _ALGORITHMS[key_type_of(public_key)]:
        return False
    try:
        if isinstance(public_key, ed25519.Ed25519PublicKey):
            public_key.verify(signature, tbs)
        elif isinstance(public_key, rsa.RSAPublicKey):
            public_key.verify(signature, tbs, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(public_key, ec.EllipticCurvePublicKey):
            public_key.verify(signature, tbs, ec.ECDSA(signature_hash(public_key) or hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def inspecting(key: PrivateKey, inspect: Inspect) -> PrivateKey:
    """Wrap a key so that ``inspect`` sees, and may refuse by raising, all that is about to be signed.

    The result works wherever the library wants a signing key; it exports nothing and signs nothing unseen.
    """
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _InspectingEcKey(key, inspect)
    if isinstance(key, rsa.RSAPrivateKey):
        return _InspectingRsaKey(key, inspect)
    return _InspectingEd25519Key(key, inspect)


class _SignsOnly:
    """What a signing key refuses: everything but signing."""

    def private_numbers(self) -> NoReturn:
        raise TypeError("a signing key is not exported")

    def private_bytes(self, *_: object) -> NoReturn:
        raise TypeError("a signing key is not exported")

    def private_bytes_raw(self) -> NoReturn:
        raise TypeError("a signing key is not exported")

    def exchange(self, *_: object) -> NoReturn:
        raise TypeError("a signing key signs only")

    def decrypt(self, *_: object) -> NoReturn:
        raise TypeError("a signing key signs only")

    def __copy__(self) -> NoReturn:
        raise TypeError("a signing key is not copied")

    def __deepcopy__(self, _: object) -> NoReturn:
        raise TypeError("a signing key is not copied")


class _InspectingEcKey(_SignsOnly, ec.EllipticCurvePrivateKey):
    def __init__(self, key: ec.EllipticCurvePrivateKey, inspect: Inspect) -> None:
        self._key, self._inspect = key, inspect

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._key.curve

    @property
    def key_size(self) -> int:
        return self._key.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._key.public_key()

    def sign(self, data: Buffer, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        self._inspect(bytes(data))
        return self._key.sign(data, signature_algorithm)


class _InspectingRsaKey(_SignsOnly, rsa.RSAPrivateKey):
    def __init__(self, key: rsa.RSAPrivateKey, inspect: Inspect) -> None:
        self._key, self._inspect = key, inspect

    @property
    def key_size(self) -> int:
        return self._key.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        return self._key.public_key()

    def sign(
        self,
        data: bytes,
        padding: padding.AsymmetricPadding,
        algorithm: utils.Prehashed | utils.NoDigestInfo | hashes.HashAlgorithm,
    ) -> bytes:
        self._inspect(data)
        return self._key.sign(data, padding, algorithm)


class _InspectingEd25519Key(_SignsOnly, ed25519.Ed25519PrivateKey):
    def __init__(self, key: ed25519.Ed25519PrivateKey, inspect: Inspect) -> None:
        self._key, self._inspect = key, inspect

    def public_key(self) -> ed25519.Ed25519PublicKey:
        return self._key.public_key()

    def sign(self, data: Buffer) -> bytes:
        self._inspect(bytes(data))
        return self._key.sign(data)
