"""A client certificate that no CA issued, to ask OpenSSL what becomes of a CA's devices.

OpenSSL looks at the chain, its purposes and the lists before it verifies a signature: an error that comes before that
of the signature is one that every device of the CA meets.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from iotonboard.pki.parse_errors import UNREADABLE

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.pki.keys import PrivateKey

SIGNATURE_ERROR: Final = 7  # X509_V_ERR_CERT_SIGNATURE_FAILURE: where the probe ends when its CA is in order
_SUBJECT: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "probe")])
_CLIENT_AUTH: Final = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
_THROWAWAY_RSA_BITS: Final = 1024  # the smallest that the library makes; nothing verifies with it
_DAY: Final = timedelta(days=1)


def make_probe(ca: x509.Certificate, at: datetime) -> bytes | None:
    """A device's certificate (DER) below ``ca``, valid at ``at``, whose signature is wrong.

    It is signed by a throwaway key of the CA's type, since OpenSSL compares the types. ``None`` for a CA with a key of
    another type than RSA, EC and Ed25519, and for one that cannot be read whole.
    """
    try:
        return _make_probe(ca, at)
    except UNREADABLE:
        return None


def _make_probe(ca: x509.Certificate, at: datetime) -> bytes | None:
    key = _throwaway_key(ca.public_key())
    if key is None:
        return None
    public_key = ec.generate_private_key(ec.SECP256R1()).public_key()
    builder = (
        x509.CertificateBuilder()
        .issuer_name(ca.subject)
        .subject_name(_SUBJECT)
        .public_key(public_key)
        .serial_number(1)
        .not_valid_before(at - _DAY)
        .not_valid_after(at + _DAY)
        .add_extension(_CLIENT_AUTH, critical=False)
    )
    try:
        key_id = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        builder = builder.add_extension(x509.AuthorityKeyIdentifier(key_id, None, None), critical=False)
    except x509.ExtensionNotFound:
        pass
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256()
    return builder.sign(key, digest).public_bytes(Encoding.DER)


def _throwaway_key(public_key: object) -> PrivateKey | None:
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return ec.generate_private_key(ec.SECP256R1())
    if isinstance(public_key, rsa.RSAPublicKey):
        return _throwaway_rsa_key()
    return ed25519.Ed25519PrivateKey.generate() if isinstance(public_key, ed25519.Ed25519PublicKey) else None


@cache  # finding its primes takes longer than all else here
def _throwaway_rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, _THROWAWAY_RSA_BITS)
