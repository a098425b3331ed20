"""What a certificate says, read without trusting it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from iotonboard.errors import PolicyError
from iotonboard.model import SerialNumber, Validity
from iotonboard.pki import der
from iotonboard.pki.keys import key_type_of
from iotonboard.pki.unreadable import UNREADABLE

if TYPE_CHECKING:
    from iotonboard.model import KeyType


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """One certificate. Names and keys are DER, ``fingerprint`` is lower-case hex, ``spki_sha256`` octets.

    ``subject_cn`` is the first commonName, or empty. ``alt_names`` are URIs, host names and addresses.
    """

    serial: SerialNumber
    subject_cn: str
    subject_der: bytes
    issuer_der: bytes
    validity: Validity
    fingerprint: str
    spki_der: bytes
    spki_sha256: bytes
    key_type: KeyType
    key_id: bytes | None
    is_ca: bool
    alt_names: tuple[str, ...]


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


def is_issued_by(certificate_der: bytes, issuer_der: bytes) -> bool:
    """Say whether an issuer's name and key stand behind a certificate (RFC 5280 6.1.3 a, signature and name only).

    Raises:
        PolicyError: one of them is not a certificate.

    """
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        certificate.verify_directly_issued_by(x509.load_der_x509_certificate(issuer_der))
    except InvalidSignature:
        return False
    except UNREADABLE as error:
        if "does not match" in str(error):
            return False
        raise PolicyError("this is not a certificate that can be read") from error
    return True


def _read(octets: bytes) -> CertificateFacts:
    certificate = x509.load_der_x509_certificate(octets)
    tbs, *_ = der.children(octets, der.whole(octets))
    _version, _serial, _algorithm, issuer, _validity, subject, spki, *_ = der.children(octets, tbs)
    values = {type(extension.value): extension.value for extension in certificate.extensions}
    constraints = values.get(x509.BasicConstraints)
    key_id = values.get(x509.SubjectKeyIdentifier)
    names = values.get(x509.SubjectAlternativeName)
    common_names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    spki_der = octets[spki.start : spki.end]
    return CertificateFacts(
        serial=SerialNumber(certificate.serial_number),
        subject_cn=str(common_names[0].value) if common_names else "",
        subject_der=octets[subject.start : subject.end],
        issuer_der=octets[issuer.start : issuer.end],
        validity=Validity(certificate.not_valid_before_utc, certificate.not_valid_after_utc),
        fingerprint=fingerprint(octets),
        spki_der=spki_der,
        spki_sha256=sha256(spki_der).digest(),
        key_type=key_type_of(certificate.public_key()),
        key_id=key_id.digest if isinstance(key_id, x509.SubjectKeyIdentifier) else None,
        is_ca=isinstance(constraints, x509.BasicConstraints) and constraints.ca,
        alt_names=tuple(str(name.value) for name in names) if isinstance(names, x509.SubjectAlternativeName) else (),
    )
