"""CAs, device certificates and CRLs as nobody should make them, to see what a broker makes of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)
NOW = datetime.now(UTC).replace(microsecond=0)
_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")


def make_key(kind: str = "ec") -> Any:
    """A private key: ``ec``, ``ed25519`` or the bits of an RSA key."""
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, int(kind))


@dataclass(frozen=True)
class Made:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Any

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def usage(*words: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{word: word in words for word in _USAGES})


def name(*common_names: str, organization: str = "Works") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)]
    return x509.Name([*parts, *(x509.NameAttribute(NameOID.COMMON_NAME, each) for each in common_names)])


def make_certificate(
    subject: x509.Name,
    extensions: Iterable[x509.ExtensionType],
    *,
    issuer: Made | None = None,
    key: str = "ec",
    days: tuple[float, float] = (-1, 365),
    sha1: bool = False,
) -> Made:
    """Sign a certificate, by itself without an ``issuer``; ``days`` are those of its ends, from now.

    ``sha1`` needs an RSA key to sign with.
    """
    own = make_key(key)
    signing = issuer.key if issuer else own
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + days[0] * DAY)
        .not_valid_after(NOW + days[1] * DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
    )
    for extension in extensions:
        is_critical = isinstance(extension, x509.KeyUsage | x509.BasicConstraints | x509.UnrecognizedExtension)
        builder = builder.add_extension(extension, critical=is_critical)
    made = builder.sign(signing, _digest(signing))
    if sha1:
        octets = made.public_bytes(Encoding.DER)
        made = x509.load_der_x509_certificate(_sha1(octets, made.tbs_certificate_bytes, made.signature, signing))
    return Made(made, own)


def make_ca(
    common_name: str,
    *,
    extensions: Iterable[x509.ExtensionType] = (
        x509.BasicConstraints(ca=True, path_length=None),
        usage("key_cert_sign", "crl_sign"),
    ),
    **options: Any,
) -> Made:
    return make_certificate(name(common_name), extensions, **{"days": (-2, 3650), **options})


def make_device(
    issuer: Made,
    common_name: str,
    *,
    extensions: Iterable[x509.ExtensionType] = (
        usage("digital_signature"),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]),
    ),
    subject: x509.Name | None = None,
    **options: Any,
) -> Made:
    return make_certificate(subject or name(common_name), extensions, issuer=issuer, **options)


def make_crl(
    issuer: Made,
    *revoked: Made,
    days: tuple[float, float] = (-1, 30),
    sha1: bool = False,
    extensions: Iterable[x509.ExtensionType] = (),
    key_id: bool = True,
    reason: x509.ReasonFlags = x509.ReasonFlags.key_compromise,
) -> bytes:
    """Sign a CRL, PEM. Extensions beside the key identifier and the number are critical."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(NOW + days[0] * DAY)
        .next_update(NOW + days[1] * DAY)
        .add_extension(x509.CRLNumber(7), critical=False)
    )
    if key_id:
        own = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        builder = builder.add_extension(own, critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    for one in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number).revocation_date(NOW - DAY)
        builder = builder.add_revoked_certificate(entry.add_extension(x509.CRLReason(reason), critical=False).build())
    made = builder.sign(issuer.key, _digest(issuer.key))
    if sha1:
        octets = made.public_bytes(Encoding.DER)
        made = x509.load_der_x509_crl(_sha1(octets, made.tbs_certlist_bytes, made.signature, issuer.key))
    return made.public_bytes(Encoding.PEM)


def distribution_point(**given: Any) -> x509.IssuingDistributionPoint:
    """An issuing distribution point (RFC 5280 5.2.5) with only what is given."""
    empty = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**{**empty, **given})


def _digest(key: Any) -> Any:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _sha1(octets: bytes, signed: bytes, signature: bytes, key: Any) -> bytes:
    """Sign anew with RSA and SHA-1, which the library does not do: the two algorithms differ in one octet."""
    sha256, sha1 = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    weaker = key.sign(signed.replace(sha256, sha1), padding.PKCS1v15(), hashes.SHA1())
    return octets.replace(sha256, sha1).replace(signature, weaker)
