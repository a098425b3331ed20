"""CAs, device certificates and CRLs as nobody should make them, to see what a broker makes of them."""

from __future__ import annotations

from base64 import encodebytes
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from iotonboard.pki import der

from support.pki import RSA_PRIMES, rsa_key

DAY = timedelta(days=1)
NOW = datetime.now(UTC).replace(microsecond=0)
_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip
_CRITICAL = (
    x509.KeyUsage, x509.BasicConstraints, x509.UnrecognizedExtension, x509.NameConstraints, x509.PolicyConstraints,
    x509.InhibitAnyPolicy,
)  # fmt: skip
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")


def make_key(kind: str = "ec") -> Any:
    """A private key: ``ec``, ``ed25519``, ``ed448``, the bits of an RSA key, or the name of a curve."""
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "ed448":
        return ed448.Ed448PrivateKey.generate()
    if kind == "2048":  # it takes a while to find one
        return rsa_key(*RSA_PRIMES["rsa-2048"]["ca"])
    if kind.isdecimal():
        return rsa.generate_private_key(65537, int(kind))
    return ec.generate_private_key(getattr(ec, "SECP256R1" if kind == "ec" else kind)())


@dataclass(frozen=True)
class Made:
    """A certificate and its key; ``certificate`` is what was made before octets of it were changed."""

    certificate: x509.Certificate
    key: Any
    changed: bytes = b""

    @property
    def der(self) -> bytes:
        return self.changed or self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return pem("CERTIFICATE", self.der)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def pem(label: str, octets: bytes) -> bytes:
    """A PEM block (RFC 7468)."""
    return f"-----BEGIN {label}-----\n".encode() + encodebytes(octets) + f"-----END {label}-----\n".encode()


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
    key_of: Made | None = None,
    days: tuple[float, float] = (-1, 365),
    sha1: bool = False,
    key_id: x509.AuthorityKeyIdentifier | bool = True,
    serial: int = 0,
    change: Iterable[tuple[bytes, bytes]] = (),
) -> Made:
    """Sign a certificate, by itself without an ``issuer``; ``days`` are those of its ends, from now.

    ``sha1`` needs an RSA key to sign with. ``key_id`` says whether key identifiers are in it, or is the issuer's.
    ``change`` is what to replace in the octets that are signed; it needs an EC key to sign with.
    """
    own = key_of.key if key_of else make_key(key)
    signing = issuer.key if issuer else own
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(own.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(NOW + days[0] * DAY)
        .not_valid_after(NOW + days[1] * DAY)
    )
    if key_id:
        issuers = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()) if key_id is True else key_id
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False
        ).add_extension(issuers, critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, _CRITICAL))
    made = builder.sign(signing, _digest(signing))
    if sha1:
        octets = made.public_bytes(Encoding.DER)
        made = x509.load_der_x509_certificate(_sha1(octets, made.tbs_certificate_bytes, made.signature, signing))
    return Made(made, own, _forged(made, signing, change) if change else b"")


def _forged(made: Any, signing: Any, change: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Octets of a certificate or a list, changed and signed anew: what no library makes."""
    octets = made.public_bytes(Encoding.DER)
    tbs, algorithm, _ = der.children(octets, der.whole(octets))
    signed = octets[tbs.begin : tbs.end]
    for old, new in change:
        assert old in signed, f"{old!r} is not in what is signed"
        signed = signed.replace(old, new)
    signed = der.sequence(signed)
    signature = signing.sign(signed, ec.ECDSA(hashes.SHA256()))
    return der.sequence(signed, octets[algorithm.start : algorithm.end], der.bit_string(signature))


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
    return make_certificate(name(common_name) if subject is None else subject, extensions, issuer=issuer, **options)


def make_crl(
    issuer: Made,
    *revoked: Made,
    days: tuple[float, float] = (-1, 30),
    sha1: bool = False,
    extensions: Iterable[x509.ExtensionType] = (),
    key_id: x509.AuthorityKeyIdentifier | bool = True,
    reason: x509.ReasonFlags | None = x509.ReasonFlags.key_compromise,
    entry: x509.ExtensionType | None = None,
    entry_days: float = -1,
    number: int | None = 7,
    change: Iterable[tuple[bytes, bytes]] = (),
) -> bytes:
    """Sign a CRL, PEM. Extensions beside the key identifier and the number are critical, and so is that of ``entry``.

    ``change`` is as in ``make_certificate``.
    """
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(NOW + days[0] * DAY)
        .next_update(NOW + days[1] * DAY)
    )
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    if key_id:
        own = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        builder = builder.add_extension(own if key_id is True else key_id, critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    for one in revoked:
        listed = x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number)
        listed = listed.revocation_date(NOW + entry_days * DAY)
        if reason is not None:
            listed = listed.add_extension(x509.CRLReason(reason), critical=False)
        if entry is not None:
            listed = listed.add_extension(entry, critical=True)
        builder = builder.add_revoked_certificate(listed.build())
    made = builder.sign(issuer.key, _digest(issuer.key))
    if sha1:
        octets = made.public_bytes(Encoding.DER)
        made = x509.load_der_x509_crl(_sha1(octets, made.tbs_certlist_bytes, made.signature, issuer.key))
    octets = _forged(made, issuer.key, change) if change else made.public_bytes(Encoding.DER)
    return pem("X509 CRL", octets)


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
    return None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()


def _sha1(octets: bytes, signed: bytes, signature: bytes, key: Any) -> bytes:
    """Sign anew with RSA and SHA-1, which the library does not do: the two algorithms differ in one octet."""
    sha256, sha1 = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    weaker = key.sign(signed.replace(sha256, sha1), padding.PKCS1v15(), hashes.SHA1())
    return octets.replace(sha256, sha1).replace(signature, weaker)
