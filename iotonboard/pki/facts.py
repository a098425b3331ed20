"""What a certificate says, read without trusting it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from iotonboard.errors import PolicyError
from iotonboard.model import SerialNumber, Validity
from iotonboard.pki import der
from iotonboard.pki.keys import key_type_of, spki_der
from iotonboard.pki.parse_errors import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotonboard.model import KeyType
    from iotonboard.pki.keys import PublicKey


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """One certificate. ``spki_der`` is SubjectPublicKeyInfo, ``fingerprint`` lower-case hex, ``spki_sha256`` octets.

    ``subject_cn`` is the first commonName, or empty. ``alt_names`` are URIs, host names and addresses.
    ``device_names``: what a device may be known by: commonName, serialNumber and the number of a hardwareModuleName.
    ``purposes``: of the extKeyUsage, dotted; empty without one.
    """

    serial: SerialNumber
    subject_cn: str
    validity: Validity
    fingerprint: str
    spki_der: bytes
    spki_sha256: bytes
    key_type: KeyType
    is_ca: bool
    alt_names: tuple[str, ...]
    device_names: tuple[str, ...]
    purposes: tuple[str, ...] = ()


def fingerprint(certificate_der: bytes) -> str:
    """SHA-256 of the whole certificate in lower-case hexadecimal, without colons."""
    return sha256(certificate_der).hexdigest()


def certificate_facts(certificate_der: bytes) -> CertificateFacts:
    """Read a certificate. No signature is verified.

    Raises:
        PolicyError: it is not a certificate, or its key type or serial number is not supported.

    """
    try:
        return _read(certificate_der)
    except UNREADABLE as error:
        raise PolicyError("this is not a certificate that can be read") from error


def signature_digest(certificate_der: bytes) -> str:
    """The digest with which a certificate was signed, such as ``sha256``; empty for Ed25519, ``unknown`` otherwise."""
    try:
        found = x509.load_der_x509_certificate(certificate_der).signature_hash_algorithm
    except UNREADABLE:
        return "unknown"
    return found.name if found else ""


def is_issued_by(certificate_der: bytes, issuer_der: bytes) -> bool:
    """Say whether an issuer's name and key stand behind a certificate (RFC 5280 6.1.3 a, signature and name only).

    Raises:
        PolicyError: one of them is not a certificate.

    """
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        issuer = x509.load_der_x509_certificate(issuer_der)
        return certificate.issuer == issuer.subject and is_signed_by(certificate, issuer)
    except UNREADABLE as error:
        raise PolicyError("this is not a certificate that can be read") from error


def is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Say whether an issuer's key signed a certificate, with whatever digest: the library refuses old ones.

    Whoever cares how it was signed looks at that by itself.
    """
    public_key, digest = issuer.public_key(), certificate.signature_hash_algorithm
    signature, octets = certificate.signature, certificate.tbs_certificate_bytes
    try:
        if not isinstance(digest, hashes.SHA1 | hashes.MD5):
            certificate.verify_directly_issued_by(issuer)
        elif isinstance(public_key, rsa.RSAPublicKey):
            public_key.verify(signature, octets, padding.PKCS1v15(), digest)
        elif isinstance(public_key, ec.EllipticCurvePublicKey):
            public_key.verify(signature, octets, ec.ECDSA(digest))
        else:
            return False
    except (InvalidSignature, *UNREADABLE):
        return False
    return True


def _read(octets: bytes) -> CertificateFacts:
    certificate = x509.load_der_x509_certificate(octets)
    values = {extension.oid: extension.value for extension in certificate.extensions}
    constraints = values.get(x509.BasicConstraints.oid)
    names = values.get(x509.SubjectAlternativeName.oid)
    purposes = values.get(x509.ExtendedKeyUsage.oid)
    common_names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    public_key = certificate.public_key()
    key_type = key_type_of(public_key)
    spki = spki_der(cast("PublicKey", public_key))
    return CertificateFacts(
        serial=SerialNumber(certificate.serial_number),
        subject_cn=str(common_names[0].value) if common_names else "",
        validity=Validity(certificate.not_valid_before_utc, certificate.not_valid_after_utc),
        fingerprint=fingerprint(octets),
        spki_der=spki,
        spki_sha256=sha256(spki).digest(),
        key_type=key_type,
        is_ca=isinstance(constraints, x509.BasicConstraints) and constraints.ca,
        alt_names=tuple(str(name.value) for name in names) if isinstance(names, x509.SubjectAlternativeName) else (),
        device_names=(
            *(str(each.value) for oid in _DEVICE_NAMES for each in certificate.subject.get_attributes_for_oid(oid)),
            *(_hardware_numbers(names) if isinstance(names, x509.SubjectAlternativeName) else ()),
        ),
        purposes=tuple(one.dotted_string for one in purposes) if isinstance(purposes, x509.ExtendedKeyUsage) else (),
    )


_DEVICE_NAMES = (NameOID.COMMON_NAME, NameOID.SERIAL_NUMBER)
_HARDWARE = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4")


def _hardware_numbers(names: x509.SubjectAlternativeName) -> Iterator[str]:
    """The serial numbers of hardwareModuleNames (RFC 4108 section 5)."""
    for name in names.get_values_for_type(x509.OtherName):
        if name.type_id == _HARDWARE:
            *_, number = der.children(name.value, der.whole(name.value))
            yield name.value[number.begin : number.end].decode("utf-8", "replace")
