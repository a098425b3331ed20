"""Statements that the CA key signs beside certificates and CRLs: audit heads, manifests, packages.

Every statement begins with a label of its own, so a signature over one can never pass for another, nor
for a certificate (whose first octet is 0x30).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from iotonboard.errors import PolicyError

if TYPE_CHECKING:
    from iotonboard.pki.keys import PrivateKey

_LABEL = b"iotonboard "


def key_secret(key: PrivateKey) -> bytes:
    """The private value itself, in an encoding that never changes: what other secrets are derived from."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.private_numbers().d.to_bytes((key.key_size + 7) // 8)
    return key.private_bytes_raw()


def sign_statement(key: PrivateKey, statement: bytes | memoryview) -> bytes:
    """Sign with the CA key: ECDSA or RSA PKCS #1 v1.5 over SHA-256, or Ed25519; ``openssl dgst`` verifies them.

    Raises:
        PolicyError: the statement does not begin with the program's label.

    """
    octets = cast("bytes", statement)  # a view of a large file is signed without being copied
    if bytes(statement[: len(_LABEL)]) != _LABEL:
        raise PolicyError("a statement without a label is not signed")
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(octets, ec.ECDSA(hashes.SHA256()))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(octets, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(octets)


def statement_holds(certificate_der: bytes, statement: bytes, signature: bytes) -> bool:
    """Say whether the holder of a certificate signed a statement."""
    key = x509.load_der_x509_certificate(certificate_der).public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, statement, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, statement, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, statement)
        else:
            return False
    except InvalidSignature:
        return False
    return True
