"""A short name for a CA's key, by which what only rises is told apart: nothing goes on from one key to another."""

from __future__ import annotations

from hashlib import sha256

from iotonboard.errors import PolicyError
from iotonboard.pki import der

_VERSION = 0xA0  # [0] EXPLICIT
_ISSUER, _SUBJECT, _SPKI = 2, 4, 5
KEY_DIGITS = 16


def key_id(certificate_der: bytes) -> str:
    """The first 16 hexadecimal digits of SHA-256 over a certificate's SubjectPublicKeyInfo (RFC 5280 4.1.2.7).

    Needs no cryptographic library.

    Raises:
        PolicyError: this is not a certificate.
    """
    return sha256(name_and_key(certificate_der)[1]).hexdigest()[:KEY_DIGITS]


def name_and_key(certificate_der: bytes) -> tuple[bytes, bytes]:
    """Subject and SubjectPublicKeyInfo of a certificate, as they are encoded: what all certificates of one CA share.

    Raises:
        PolicyError: this is not a certificate.
    """
    _, subject, spki = _names_and_key(certificate_der)
    return subject, spki


def is_self_issued(certificate_der: bytes) -> bool:
    """Say whether issuer and subject are the same (RFC 5280 3.2); what is no certificate is not.

    Names alone: nothing is verified.
    """
    try:
        issuer, subject, _ = _names_and_key(certificate_der)
    except PolicyError:
        return False
    return issuer == subject


def _names_and_key(certificate_der: bytes) -> tuple[bytes, ...]:
    """Issuer, subject and SubjectPublicKeyInfo, as they are encoded."""
    tbs, *_ = der.children(certificate_der, der.whole(certificate_der))
    # Behind the version: serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo.
    fields = [field for field in der.children(certificate_der, tbs) if field.tag != _VERSION]
    if len(fields) < _SPKI + 1:
        raise PolicyError("this is not a certificate that can be read")
    found = (fields[place] for place in (_ISSUER, _SUBJECT, _SPKI))
    return tuple(certificate_der[field.start : field.end] for field in found)


def same_ca(one: bytes, other: bytes) -> bool:
    """Say whether two certificates (DER) are of one CA: the same name, octet for octet, and the same key."""
    try:
        return one == other or name_and_key(one) == name_and_key(other)
    except PolicyError:
        return False
