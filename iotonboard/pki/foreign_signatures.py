"""Signatures that others made, verified by their AlgorithmIdentifier (RFC 5280 4.1.1.2) with the signer's public key.

The library reads only requests that are encoded to the letter. Here what was signed is taken as it is, and parameters
that should be absent may be NULL, as modems of the nRF91 family write them beside ECDSA.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from iotonboard.errors import PolicyError
from iotonboard.pki import der
from iotonboard.pki.parse_errors import UNREADABLE

RSASSA_PSS: Final = der.oid("1.2.840.113549.1.1.10")  # RFC 4055 section 3.1
_MGF1: Final = der.oid("1.2.840.113549.1.1.8")
_ED25519: Final = der.oid("1.3.101.112")  # RFC 8410 section 3
_DEFAULT_SALT_OCTETS: Final = 20  # RFC 4055 section 3.1, as is SHA-1
_SHA1: Final = der.oid("1.3.14.3.2.26")
_WEAK: Final = {
    der.oid("1.2.840.113549.1.1.4"): "md5",  # RFC 3279 2.2.1
    der.oid("1.2.840.113549.1.1.5"): "sha1",
    der.oid("1.2.840.10045.4.1"): "sha1",  # RFC 3279 2.2.3
}

_Ec, _Rsa = ec.EllipticCurvePublicKey, rsa.RSAPublicKey


@cache
def _schemes() -> dict[bytes, tuple[type, hashes.HashAlgorithm]]:
    """Which kind of key signs over which digest, by the algorithm's OID (DER)."""
    return {
        der.oid(dotted): scheme
        for dotted, scheme in {
            "1.2.840.10045.4.3.1": (_Ec, hashes.SHA224()),  # RFC 5758 3.2
            "1.2.840.10045.4.3.2": (_Ec, hashes.SHA256()),
            "1.2.840.10045.4.3.3": (_Ec, hashes.SHA384()),
            "1.2.840.10045.4.3.4": (_Ec, hashes.SHA512()),
            "2.16.840.1.101.3.4.3.9": (_Ec, hashes.SHA3_224()),  # RFC 9688 section 2, as are those with SHA-3 below
            "2.16.840.1.101.3.4.3.10": (_Ec, hashes.SHA3_256()),
            "2.16.840.1.101.3.4.3.11": (_Ec, hashes.SHA3_384()),
            "2.16.840.1.101.3.4.3.12": (_Ec, hashes.SHA3_512()),
            "1.2.840.113549.1.1.14": (_Rsa, hashes.SHA224()),  # RFC 4055 section 5
            "1.2.840.113549.1.1.11": (_Rsa, hashes.SHA256()),
            "1.2.840.113549.1.1.12": (_Rsa, hashes.SHA384()),
            "1.2.840.113549.1.1.13": (_Rsa, hashes.SHA512()),
            "1.2.840.113549.1.1.15": (_Rsa, hashes.SHA512_224()),  # RFC 8017 appendix A.2.4
            "1.2.840.113549.1.1.16": (_Rsa, hashes.SHA512_256()),
            "2.16.840.1.101.3.4.3.13": (_Rsa, hashes.SHA3_224()),
            "2.16.840.1.101.3.4.3.14": (_Rsa, hashes.SHA3_256()),
            "2.16.840.1.101.3.4.3.15": (_Rsa, hashes.SHA3_384()),
            "2.16.840.1.101.3.4.3.16": (_Rsa, hashes.SHA3_512()),
        }.items()
    }


@cache
def _digests() -> dict[bytes, hashes.HashAlgorithm]:
    """Digests that RSASSA-PSS may name, by their OIDs in NIST's arc (RFC 4055 2.1)."""
    sha2 = (
        hashes.SHA256(),
        hashes.SHA384(),
        hashes.SHA512(),
        hashes.SHA224(),
        hashes.SHA512_224(),
        hashes.SHA512_256(),
    )
    sha3 = (hashes.SHA3_224(), hashes.SHA3_256(), hashes.SHA3_384(), hashes.SHA3_512())
    return {der.oid(f"2.16.840.1.101.3.4.2.{arc}"): digest for arc, digest in enumerate((*sha2, *sha3), 1)}


@dataclass(frozen=True, slots=True)
class _Scheme:
    """A kind of key, and how it signs; ``pss`` is the padding of RSASSA-PSS. Ed25519 has its own digest."""

    kind: type
    digest: hashes.HashAlgorithm | None
    pss: padding.PSS | None = None

    def holds(self, public_key: object, signature: bytes, octets: bytes) -> bool:
        try:
            if not isinstance(public_key, self.kind):
                return False
            if isinstance(public_key, _Ec) and self.digest:
                public_key.verify(signature, octets, ec.ECDSA(self.digest))
            elif isinstance(public_key, _Rsa) and self.digest:
                public_key.verify(signature, octets, self.pss or padding.PKCS1v15(), self.digest)
            elif isinstance(public_key, ed25519.Ed25519PublicKey):
                public_key.verify(signature, octets)
        except InvalidSignature:
            return False
        return True


def check_signature(public_key: object, algorithm: bytes, signature: bytes, octets: bytes, *, hint: str) -> None:
    """Make sure that the holder of a public key signed ``octets``; ``algorithm`` is the AlgorithmIdentifier, DER.

    Raises:
        PolicyError: another key signed, or other octets; too weak a digest; an algorithm that is not supported.
            ``hint`` says what to type for a signature that is taken.
    """
    scheme = _scheme(algorithm, hint)
    try:
        holds = scheme.holds(public_key, signature, octets)
    except UNREADABLE as error:
        raise PolicyError("its signature algorithm is not supported", hint=hint) from error
    if not holds:
        raise PolicyError("its signature is wrong: its key was not proved", hint="make it again on the device")


def _scheme(algorithm: bytes, hint: str) -> _Scheme:
    try:
        oid, *parameters = der.children(algorithm, der.whole(algorithm))
        name = algorithm[oid.start : oid.end]
        weakness = _WEAK.get(name, "")
        if name == RSASSA_PSS:
            digest, padded = _pss(algorithm, parameters)
            if digest is not None:
                return _Scheme(_Rsa, digest, padded)
            weakness = "sha1"
    except (PolicyError, ValueError, KeyError):
        raise PolicyError("its signature algorithm cannot be read", hint=hint) from None
    if weakness:
        raise PolicyError(f"it is signed with {weakness!r}, which is too weak", hint=hint)
    if name == _ED25519:
        return _Scheme(ed25519.Ed25519PublicKey, None)
    if name not in _schemes():
        raise PolicyError(f"its signature algorithm {der.dotted(name)} is not supported", hint=hint)
    return _Scheme(*_schemes()[name])


def _pss(algorithm: bytes, parameters: list[der.Element]) -> tuple[hashes.HashAlgorithm | None, padding.PSS]:
    """Read RSASSA-PSS-params (RFC 4055 section 3.1); the digest is ``None`` where it is SHA-1, the default."""
    given = {field.tag: field for field in der.children(algorithm, parameters[0])} if parameters else {}
    digest = mask = None
    salt = _DEFAULT_SALT_OCTETS
    if 0xA0 in given:
        digest = _digest(algorithm, given[0xA0])
    if 0xA1 in given:
        (function,) = der.children(algorithm, given[0xA1])
        if algorithm[function.begin : function.begin + len(_MGF1)] != _MGF1:
            raise ValueError
        mask = _digest(algorithm, function)
    if 0xA2 in given:
        (number,) = der.children(algorithm, given[0xA2])
        salt = int.from_bytes(algorithm[number.begin : number.end])
    # What makes SHA-1 weak, that it can be made to collide, does not matter to a mask.
    return digest, padding.PSS(padding.MGF1(mask or hashes.SHA1()), salt)  # noqa: S303


def _digest(algorithm: bytes, parent: der.Element) -> hashes.HashAlgorithm | None:
    """The digest that the last AlgorithmIdentifier within ``parent`` names; ``None``: SHA-1."""
    identifier = der.children(algorithm, parent)[-1]
    oid = der.children(algorithm, identifier)[0]
    name = algorithm[oid.start : oid.end]
    return None if name == _SHA1 else _digests()[name]
