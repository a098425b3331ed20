"""How the CA's signatures are verified: small enough for a command that signs nothing.

The public key is taken from the certificate by its place (RFC 5280 4.1), since loading the library's X.509 doubles the
time of such a command.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from iotonboard.errors import PolicyError
from iotonboard.pki import der

_SHA256: Final = hashes.SHA256()
_SPKI: Final = 6  # TBSCertificate: version, serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo


def statement_holds(certificate_der: bytes, statement: bytes, signature: bytes) -> bool:
    """Say whether the holder of a certificate, or of a SubjectPublicKeyInfo, signed a statement; of nothing else."""
    try:
        public_key = load_der_public_key(_spki(certificate_der))
    except (PolicyError, ValueError, IndexError, UnsupportedAlgorithm):
        return False
    return verify(public_key, signature, statement, _SHA256)


def _spki(octets: bytes) -> bytes:
    first, second, *_ = der.children(octets, der.whole(octets))
    if second.tag == der.BIT_STRING:  # a key, and no certificate: that has a signature behind two sequences
        return octets
    spki = der.children(octets, first)[_SPKI]
    return octets[spki.start : spki.end]


def verify(public_key: object, signature: bytes, octets: bytes, digest: hashes.HashAlgorithm) -> bool:
    """Verify what ``Signer.sign`` makes; a key of another type verifies nothing."""
    try:
        if isinstance(public_key, ec.EllipticCurvePublicKey):
            public_key.verify(signature, octets, ec.ECDSA(digest))
        elif isinstance(public_key, rsa.RSAPublicKey):
            public_key.verify(signature, octets, padding.PKCS1v15(), digest)
        elif isinstance(public_key, ed25519.Ed25519PublicKey):
            public_key.verify(signature, octets)
        else:
            return False
    except InvalidSignature:
        return False
    return True
