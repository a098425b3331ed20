"""A root as another program makes it, and what it certifies: the library's builder, and none of this program's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_KEY_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
ROOT_NAME = x509.Name.from_rfc4514_string("CN=Works Root,O=Works")


@cache
def root_key(name: str = "") -> ec.EllipticCurvePrivateKey:
    """The same one for the same name in every test of a process."""
    del name
    return ec.generate_private_key(ec.SECP256R1())


def root_certificate(name: str = "") -> bytes:
    """A root that certifies CAs, DER."""
    return _certify(ROOT_NAME, root_key(name).public_key(), path_length=1, name=name)


def certified(ca_der: bytes, *, days: int = 1000, name: str = "") -> bytes:
    """A certificate (DER) by that root for the name and key of a CA's own certificate."""
    ca = x509.load_der_x509_certificate(ca_der)
    key = ca.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key_id = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value  # what was issued before names it
    return _certify(ca.subject, key, path_length=0, days=days, name=name, key_id=key_id)


def _certify(
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    *,
    path_length: int,
    days: int = 3000,
    name: str,
    key_id: x509.SubjectKeyIdentifier | None = None,
) -> bytes:
    root, now = root_key(name), datetime.now(UTC)
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key())
    builder = (
        x509.CertificateBuilder()
        .issuer_name(ROOT_NAME)
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_KEY_USAGE, critical=True)
        .add_extension(key_id or x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(above, critical=False)
    )
    return builder.sign(root, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
