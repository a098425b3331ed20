"""Certificates that another program issued with a CA's key, as they are taken over: read once, and not trusted."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from iotonboard.errors import PolicyError
from iotonboard.model import SerialNumber
from iotonboard.pki.facts import is_signed_by
from iotonboard.pki.keys import key_type_of
from iotonboard.pki.parse_errors import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_CLIENTS: Final = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
_OLD_DIGESTS: Final = frozenset({"md5", "sha1"})


@dataclass(frozen=True, slots=True)
class AdoptedCertificate:
    """One certificate. ``issuer``: the row of the CA that signed it, ``None`` where none of those that were asked did.

    ``name`` is the first commonName, by which Mosquitto knows a device. ``serial`` is whatever number stands there;
    ``problem`` says why its row could not be, and is empty otherwise. ``is_of_client``: it lets a device in.
    ``has_old_digest``: OpenSSL 3 refuses how it is signed.
    """

    der: bytes = field(repr=False)
    fingerprint: str
    serial: int
    name: str
    not_before: datetime
    not_after: datetime
    spki_sha256: bytes = field(repr=False)
    is_ca: bool
    is_of_client: bool
    has_old_digest: bool
    issuer: int | None
    problem: str


def load_cas(certificates: Mapping[int, bytes]) -> dict[int, x509.Certificate]:
    """CAs by their rows, for ``read_adopted``."""
    return {row: x509.load_der_x509_certificate(der) for row, der in certificates.items()}


def read_adopted(der: bytes, cas: Mapping[int, x509.Certificate]) -> AdoptedCertificate:
    """Read a certificate and find which CA signed it.

    Raises:
        PolicyError: it cannot be read.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        values = {type(one.value): one.value for one in certificate.extensions}
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        constraints, purposes = values.get(x509.BasicConstraints), values.get(x509.ExtendedKeyUsage)
        digest = certificate.signature_hash_algorithm
        return AdoptedCertificate(
            der,
            sha256(der).hexdigest(),
            certificate.serial_number,
            str(names[0].value) if names else "",
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
            sha256(spki).digest(),
            isinstance(constraints, x509.BasicConstraints) and constraints.ca,
            not isinstance(purposes, x509.ExtendedKeyUsage) or bool(_CLIENTS & set(purposes)),
            digest is not None and digest.name in _OLD_DIGESTS,
            _signer(certificate, cas),
            _problem(certificate),
        )
    except UNREADABLE as error:
        raise PolicyError("a certificate in it cannot be read", hint="openssl x509 -text -in FILE says more") from error


def _signer(certificate: x509.Certificate, cas: Mapping[int, x509.Certificate]) -> int | None:
    found = (row for row, ca in cas.items() if certificate.issuer == ca.subject and is_signed_by(certificate, ca))
    return next(found, None)


def _problem(certificate: x509.Certificate) -> str:
    try:
        SerialNumber(certificate.serial_number)
        key_type_of(certificate.public_key())
    except PolicyError as error:
        return error.message
    return "" if certificate.not_valid_before_utc < certificate.not_valid_after_utc else "it ends before it begins"
