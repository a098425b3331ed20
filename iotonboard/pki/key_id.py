"""A short name for a CA's key, by which what only rises is told apart: nothing goes on from one key to another."""

from __future__ import annotations

from hashlib import sha256

from iotonboard.errors import PolicyError
from iotonboard.pki import der

_VERSION = 0xA0  # [0] EXPLICIT
_SPKI = 5
_DIGITS = 16


def key_id(certificate_der: bytes) -> str:
    """The first 16 hexadecimal digits of SHA-256 over a certificate's SubjectPublicKeyInfo (RFC 5280 4.1.2.7).

    Needs no cryptographic library.

    Raises:
        PolicyError: this is not a certificate.
    """
    tbs, *_ = der.children(certificate_der, der.whole(certificate_der))
    # Behind the version: serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo.
    fields = [field for field in der.children(certificate_der, tbs) if field.tag != _VERSION]
    if len(fields) < _SPKI + 1:
        raise PolicyError("this is not a certificate that can be read")
    spki = fields[_SPKI]
    return sha256(certificate_der[spki.start : spki.end]).hexdigest()[:_DIGITS]
