"""What a certificate says, field by field, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography import x509

from iotonboard.model import rfc3339
from iotonboard.pki.facts import certificate_facts
from iotonboard.pki.profile_form import PURPOSES

if TYPE_CHECKING:
    from collections.abc import Iterator

_USAGES: Final = {
    "digital_signature": "digitalSignature", "content_commitment": "nonRepudiation",
    "key_encipherment": "keyEncipherment", "data_encipherment": "dataEncipherment", "key_agreement": "keyAgreement",
}  # fmt: skip
_OF_EVERY: Final = (x509.BasicConstraints, x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier)
_PURPOSES: Final = {dotted: name for name, dotted in PURPOSES.items()}


def decoded(certificate_der: bytes) -> Iterator[tuple[str, str]]:
    """Each field that a profile decides, with its value as text."""
    certificate = x509.load_der_x509_certificate(certificate_der)
    yield "key", certificate_facts(certificate_der).key_type
    yield "subject", certificate.subject.rfc4514_string() or "(empty)"
    yield "not after", rfc3339(certificate.not_valid_after_utc)
    for extension in certificate.extensions:
        value, critical = extension.value, " (critical)" if extension.critical else ""
        if isinstance(value, x509.KeyUsage):
            found = [shown for name, shown in _USAGES.items() if getattr(value, name)]
            yield f"key usage{critical}", ", ".join(found)
        elif isinstance(value, x509.ExtendedKeyUsage):
            found = [_PURPOSES.get(oid.dotted_string, oid.dotted_string) for oid in value]
            yield f"extended key usage{critical}", ", ".join(found)
        elif isinstance(value, x509.SubjectAlternativeName):
            yield f"subject alternative names{critical}", ", ".join(map(_alt_name, value))
        elif isinstance(value, x509.CRLDistributionPoints):
            urls = (name.value for point in value for name in point.full_name or ())
            yield f"CRL distribution points{critical}", ", ".join(map(str, urls))
        elif not isinstance(value, _OF_EVERY):
            yield f"{value.oid.dotted_string}{critical}", value.public_bytes().hex()


def _alt_name(name: x509.GeneralName) -> str:
    if isinstance(name, x509.OtherName):
        return f"{name.type_id.dotted_string}:{name.value.hex()}"
    value = name.value.dotted_string if isinstance(name, x509.RegisteredID) else name.value
    return f"{type(name).__name__.removesuffix('Name')}:{value}"
