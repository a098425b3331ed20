"""The broker's ``cafile`` and ``crlfile`` as OpenSSL reads them: facts to judge by, also of what is badly made."""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from iotonboard.errors import PolicyError

if TYPE_CHECKING:
    from datetime import datetime

_BLOCK = re.compile(rb"^-----BEGIN ([^\n]*?)-----[ \t\r]*\n(.*?)^-----END \1-----[ \t\r]*$", re.MULTILINE | re.DOTALL)
_BEGIN = re.compile(rb"^-----BEGIN [^\n]*-----[ \t\r]*$", re.MULTILINE)
_CERTIFICATE_LABELS = frozenset({b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE"})
_CRL_LABELS = frozenset({b"X509 CRL"})
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension)
_WEAK_DIGESTS = frozenset({"md5", "sha1"})
_SMALLEST_RSA = 2048  # OpenSSL's security level 2, Debian's default


@dataclass(frozen=True, slots=True)
class SeenCertificate:
    """One certificate. Names are comparable texts; ``weakness`` is what OpenSSL's level 2 refuses, or empty."""

    certificate: x509.Certificate
    common_name: str
    subject: str
    issuer: str
    key_id: bytes
    authority_key_id: bytes
    is_ca: bool
    allows_crl_sign: bool
    allows_client_auth: bool
    weakness: str
    has_unknown_extension: bool
    points: frozenset[str]

    @property
    def der(self) -> bytes:
        """The certificate's octets."""
        return self.certificate.public_bytes(serialization.Encoding.DER)


@dataclass(frozen=True, slots=True)
class SeenCrl:
    """One CRL. ``number`` is 0 where it has none.

    ``is_passed_over``: OpenSSL does not look at lists for some reasons only, nor at indirect ones. ``points`` are the
    names of the issuing distribution point, as texts to compare.
    """

    crl: x509.CertificateRevocationList
    issuer: str
    number: int
    this_update: datetime
    next_update: datetime | None
    authority_key_id: bytes
    is_delta: bool
    is_passed_over: bool
    is_for_devices: bool
    points: frozenset[str]
    has_unknown_extension: bool

    def lists(self, serial: int) -> bool:
        """Say whether a serial number is on the list; an entry that ends a hold on a delta CRL does not count."""
        entry = self.crl.get_revoked_certificate_by_serial_number(serial)
        return entry is not None and not any(
            isinstance(extension.value, x509.CRLReason) and extension.value.reason == x509.ReasonFlags.remove_from_crl
            for extension in entry.extensions
        )


def read_certificates(data: bytes) -> list[SeenCertificate]:
    """Read every certificate of a PEM file.

    Raises:
        PolicyError: none in it, or a block that cannot be read: OpenSSL refuses the whole file then.
    """
    try:
        return [see_certificate(block) for block in _blocks(data, _CERTIFICATE_LABELS, "CERTIFICATE")]
    except _UNREADABLE as error:
        raise PolicyError("a CERTIFICATE block holds no certificate that can be read") from error


def read_crls(data: bytes) -> list[SeenCrl]:
    """Read every CRL of a PEM file.

    Raises:
        PolicyError: none in it, or a block that cannot be read: OpenSSL refuses the whole file then.
    """
    try:
        return [_see_crl(x509.load_der_x509_crl(block)) for block in _blocks(data, _CRL_LABELS, "X509 CRL")]
    except _UNREADABLE as error:
        raise PolicyError("an 'X509 CRL' block holds no CRL that can be read") from error


def see_certificate(certificate_der: bytes) -> SeenCertificate:
    """Read what decides about one certificate. No signature is verified.

    Raises:
        ValueError: it is not a certificate.
    """
    certificate = x509.load_der_x509_certificate(certificate_der)
    values = {type(extension.value): extension.value for extension in certificate.extensions}
    usage = values.get(x509.KeyUsage)
    extended, key_id = values.get(x509.ExtendedKeyUsage), values.get(x509.SubjectKeyIdentifier)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    for_clients = not isinstance(extended, x509.ExtendedKeyUsage) or ExtendedKeyUsageOID.CLIENT_AUTH in extended
    signs = not isinstance(usage, x509.KeyUsage) or usage.digital_signature or usage.key_agreement
    return SeenCertificate(
        certificate,
        common_name=str(names[0].value) if names else "",
        subject=_name(certificate.subject),
        issuer=_name(certificate.issuer),
        key_id=key_id.digest if isinstance(key_id, x509.SubjectKeyIdentifier) else b"",
        authority_key_id=_authority(values.get(x509.AuthorityKeyIdentifier)),
        is_ca=_is_ca(certificate, values.get(x509.BasicConstraints), usage),
        allows_crl_sign=not isinstance(usage, x509.KeyUsage) or usage.crl_sign,
        allows_client_auth=for_clients and signs,
        weakness=_weakness(certificate),
        has_unknown_extension=_has_unknown(certificate.extensions),
        points=_points(values.get(x509.CRLDistributionPoints)),
    )


def is_signed_by(certificate: SeenCertificate, issuer: SeenCertificate) -> bool:
    """Verify a certificate's signature with its issuer's key."""
    try:
        certificate.certificate.verify_directly_issued_by(issuer.certificate)
    except (*_UNREADABLE, InvalidSignature):
        return False
    return True


def crl_is_signed_by(crl: SeenCrl, issuer: SeenCertificate) -> bool:
    """Verify a CRL's signature with a CA's key, SHA-1 included: OpenSSL's level 2 does not look at a CRL's digest."""
    key, seen = issuer.certificate.public_key(), crl.crl
    how = (seen.signature_algorithm_parameters, seen.signature_hash_algorithm)
    try:
        match key:
            case rsa.RSAPublicKey():
                key.verify(seen.signature, seen.tbs_certlist_bytes, *how)  # type: ignore[arg-type]
            case ec.EllipticCurvePublicKey():
                key.verify(seen.signature, seen.tbs_certlist_bytes, how[0])  # type: ignore[arg-type]
            case _:
                key.verify(seen.signature, seen.tbs_certlist_bytes)  # type: ignore[union-attr, call-arg]
    except (*_UNREADABLE, InvalidSignature):
        return False
    return True


def _see_crl(crl: x509.CertificateRevocationList) -> SeenCrl:
    values = {type(extension.value): extension.value for extension in crl.extensions}
    number, scope = values.get(x509.CRLNumber), values.get(x509.IssuingDistributionPoint)
    scope = scope if isinstance(scope, x509.IssuingDistributionPoint) else None
    return SeenCrl(
        crl,
        issuer=_name(crl.issuer),
        number=number.crl_number if isinstance(number, x509.CRLNumber) else 0,
        this_update=crl.last_update_utc,
        next_update=crl.next_update_utc,
        authority_key_id=_authority(values.get(x509.AuthorityKeyIdentifier)),
        is_delta=x509.DeltaCRLIndicator in values,
        is_passed_over=scope is not None and bool(scope.indirect_crl or scope.only_some_reasons),
        is_for_devices=scope is None or not (scope.only_contains_ca_certs or scope.only_contains_attribute_certs),
        points=frozenset(map(repr, scope.full_name or ())) if scope else frozenset(),
        has_unknown_extension=_has_unknown(crl.extensions),
    )


def _is_ca(certificate: x509.Certificate, constraints: object, usage: object) -> bool:
    """Decide as OpenSSL's ``check_ca``: a root without basicConstraints may be one by its keyUsage."""
    signs = isinstance(usage, x509.KeyUsage) and usage.key_cert_sign
    if isinstance(constraints, x509.BasicConstraints):
        return constraints.ca and (signs or usage is None)
    return certificate.subject == certificate.issuer and signs


def _has_unknown(extensions: x509.Extensions) -> bool:
    return any(one.critical and isinstance(one.value, x509.UnrecognizedExtension) for one in extensions)


def _points(value: object) -> frozenset[str]:
    """Names of a certificate's CRL distribution points, as texts to compare."""
    if not isinstance(value, x509.CRLDistributionPoints):
        return frozenset()
    return frozenset(repr(each) for point in value for each in point.full_name or ())


def _blocks(data: bytes, labels: frozenset[bytes], wanted: str) -> list[bytes]:
    """Decode the blocks with one of ``labels``; a damaged block of any label spoils the file."""
    found = _BLOCK.findall(data)
    if len(found) != len(_BEGIN.findall(data)):
        raise PolicyError("a PEM block is cut short")
    try:
        decoded = [(label, binascii.a2b_base64(b"".join(text.split()), strict_mode=True)) for label, text in found]
    except binascii.Error as error:
        raise PolicyError("a PEM block is not base64") from error
    if not any(label in labels for label, _ in decoded):
        raise PolicyError(f"no {wanted!r} block in it" if data.strip() else "it is empty")
    return [octets for label, octets in decoded if label in labels]


def _name(name: x509.Name) -> str:
    """Write a name so that equal texts are equal names: without regard to case and runs of blanks."""
    return ",".join(
        "+".join(sorted(f"{part.oid.dotted_string}={' '.join(str(part.value).lower().split())!r}" for part in rdn))
        for rdn in name.rdns
    )


def _authority(value: object) -> bytes:
    return (value.key_identifier or b"") if isinstance(value, x509.AuthorityKeyIdentifier) else b""


def _weakness(certificate: x509.Certificate) -> str:
    key, digest = certificate.public_key(), certificate.signature_hash_algorithm
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _SMALLEST_RSA:
        return f"an RSA key of {key.key_size} bits is too short for the broker's OpenSSL"
    if digest is not None and digest.name in _WEAK_DIGESTS and certificate.subject != certificate.issuer:
        return f"a signature with {digest.name} is too weak for the broker's OpenSSL"
    return ""
