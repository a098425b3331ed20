"""Signatures of the CA's key, whether it lies in a file or in a token, and how they are verified.

A CA signs four kinds of octets and no others: certificates and CRLs that the lint let pass (``linting_key``),
statements that begin with the program's label (here), and requests of its own for a root (``ca_request``). A signature
over one can never pass for another: all but statements begin with 0x30, and a request (RFC 2986 4.1) has a name and a
key where a certificate (RFC 5280 4.1) and a CRL have an algorithm and a name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, cast

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from iotonboard.errors import PolicyError
from iotonboard.model import KeyType
from iotonboard.pki import der
from iotonboard.pki.keys import dump_key, key_type_of, load_key
from iotonboard.pki.verifying import verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.pki.keys import PrivateKey, PublicKey

STATEMENT_LABEL: Final = b"iotonboard "
_SHA256: Final = hashes.SHA256()
_SHA384: Final = hashes.SHA384()
_SHA256_RSA: Final = der.sequence(der.oid("1.2.840.113549.1.1.11"), der.NULL)  # RFC 4055 section 5
_ALGORITHMS: Final = {
    KeyType.EC_P256: der.sequence(der.oid("1.2.840.10045.4.3.2")),  # RFC 5758 3.2: parameters absent
    KeyType.EC_P384: der.sequence(der.oid("1.2.840.10045.4.3.3")),
    KeyType.RSA_2048: _SHA256_RSA,
    KeyType.RSA_3072: _SHA256_RSA,
    KeyType.RSA_4096: _SHA256_RSA,
    KeyType.ED25519: der.sequence(der.oid("1.3.101.112")),  # RFC 8410 section 3
}


class Signer(Protocol):
    """A private key that signs, and gives nothing else away."""

    def public_key(self) -> PublicKey:
        """Return the public half."""

    def sign(self, octets: bytes, digest: hashes.HashAlgorithm) -> bytes:
        """Sign with ECDSA or RSA PKCS #1 v1.5 over ``digest``, or with Ed25519, which brings its own."""


@dataclass(frozen=True, slots=True)
class SoftwareSigner:
    """A key in this process's memory. Pickled for a worker process, it goes through a pipe and never into a file."""

    key: PrivateKey = field(repr=False)

    def public_key(self) -> PublicKey:
        """Return the public half."""
        return self.key.public_key()

    def sign(self, octets: bytes, digest: hashes.HashAlgorithm) -> bytes:
        """Sign as ``Signer.sign`` says."""
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            return self.key.sign(octets, ec.ECDSA(digest))
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(octets, padding.PKCS1v15(), digest)
        return self.key.sign(octets)

    def __reduce__(self) -> tuple[Callable[[bytes], SoftwareSigner], tuple[bytes]]:
        return _load_signer, (dump_key(self.key),)


def _load_signer(key_der: bytes) -> SoftwareSigner:
    return SoftwareSigner(load_key(key_der, None))


def signature_algorithm(public_key: PublicKey) -> bytes:
    """Write the AlgorithmIdentifier (DER) of this key's signatures over certificates and CRLs (RFC 5280 4.1.1.2).

    Raises:
        PolicyError: the key's type is not supported.

    """
    return _ALGORITHMS[key_type_of(public_key)]


def tbs_digest(public_key: object) -> hashes.SHA256 | hashes.SHA384:
    """Return the digest that goes with a key for certificates and CRLs: SHA-384 for P-384, SHA-256 otherwise."""
    is_p384 = isinstance(public_key, ec.EllipticCurvePublicKey) and public_key.curve.name == ec.SECP384R1.name
    return _SHA384 if is_p384 else _SHA256


def verify_tbs(public_key: object, algorithm: bytes, signature: bytes, tbs: bytes) -> bool:
    """Say whether ``signature`` is over ``tbs`` with the key's own algorithm, named by ``algorithm`` (DER).

    Raises:
        PolicyError: the key's type is not supported.

    """
    if algorithm != _ALGORITHMS[key_type_of(public_key)]:
        return False
    return verify(public_key, signature, tbs, tbs_digest(public_key))


def sign_statement(signer: Signer, statement: bytes | memoryview) -> bytes:
    """Sign an audit head, a manifest or a package with SHA-256, or with Ed25519; ``openssl dgst`` verifies it.

    Raises:
        PolicyError: the statement does not begin with the program's label.

    """
    if bytes(statement[: len(STATEMENT_LABEL)]) != STATEMENT_LABEL:
        raise PolicyError("a statement without a label is not signed")
    octets = cast("bytes", statement)  # a view of a large file is signed without being copied
    return signer.sign(octets, _SHA256)
