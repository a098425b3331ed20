"""Signatures over certificates and CRLs, by the algorithm that goes with the CA's key.

``sign_tbs`` takes octets that were linted, and nothing else, and calls ``key.sign`` with exactly these. A key that
lives in a token fits in: a subclass of the library's key whose ``sign`` calls out.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from iotonboard.model import KeyType
from iotonboard.pki import der
from iotonboard.pki.keys import key_type_of

if TYPE_CHECKING:
    from iotonboard.pki.keys import PrivateKey, PublicKey
    from iotonboard.pki.lint.lint import Linted

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


def sign_tbs(key: PrivateKey, linted: Linted) -> bytes:
    """Sign with the key's own algorithm; returns the content of the signatureValue BIT STRING."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(linted.tbs, _ecdsa(key.curve.name))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(linted.tbs, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(linted.tbs)


@cache
def _ecdsa(curve: str) -> ec.ECDSA:
    """The digest that goes with the key: SHA-384 for P-384, SHA-256 otherwise."""
    return ec.ECDSA(hashes.SHA384() if curve == ec.SECP384R1.name else hashes.SHA256())


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
            public_key.verify(signature, tbs, _ecdsa(public_key.curve.name))
    except InvalidSignature:
        return False
    return True
