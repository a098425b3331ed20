"""Certificates and CRLs taken apart for the lint: once, from their octets, before they are signed.

A certificate comes from its octets alone; only its key is read by the library. Of a CRL, what a rule must see as
it is encoded (times, names, algorithms) comes from the octets, and the extensions from the library.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from cryptography import x509

from iotonboard.errors import LintError, PolicyError
from iotonboard.pki import der
from iotonboard.pki.keys import read_public_key
from iotonboard.pki.lint.reader import Certificate, EncodedTime, read_certificate_as, read_tbs_as
from iotonboard.pki.unreadable import unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.x509.oid import ObjectIdentifier

    from iotonboard.model import Validity
    from iotonboard.pki.der import Element

    Extensions = dict[ObjectIdentifier, x509.Extension[x509.ExtensionType]]


class Kind(StrEnum):
    """What a certificate is for; decides the rules."""

    CA = "ca"
    DEVICE = "device"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class IssuerFacts:
    """What the lint compares with: the issuing CA's name, key id, validity and signature algorithm."""

    subject_der: bytes
    key_id: bytes
    validity: Validity
    signature_algorithm: bytes


@dataclass(frozen=True, slots=True)
class CertificateCandidate(Certificate):
    """A certificate with what it is for, who is to sign it, and its key, read by the library."""

    kind: Kind
    issuer: IssuerFacts
    public_key: object


@dataclass(frozen=True, slots=True)
class CrlCandidate:
    """A CRL with the fields that rules look at (RFC 5280 5.1); ``entries`` is None without the list."""

    issuer: IssuerFacts
    crl: x509.CertificateRevocationList
    version: bytes | None
    inner_algorithm: bytes
    outer_algorithm: bytes
    issuer_der: bytes
    times: tuple[EncodedTime, ...]
    entries: memoryview | None
    extensions: Extensions


def unsigned(tbs: bytes) -> bytes:
    """Complete a TBSCertList with its own algorithm and an empty signature."""
    version = der.read(tbs, der.whole(tbs).begin)
    algorithm = der.read(tbs, version.end)
    # One join: a TBSCertList can be 50 MB.
    size = len(tbs) + algorithm.end - algorithm.start + len(der.EMPTY_BIT_STRING)
    return b"".join((der.header(der.SEQUENCE, size), tbs, tbs[algorithm.start : algorithm.end], der.EMPTY_BIT_STRING))


def read_certificate(certificate_der: bytes, kind: Kind, issuer: IssuerFacts) -> CertificateCandidate:
    """Take a certificate apart.

    Raises:
        LintError: it cannot be read: malformed DER, an extension twice, or a public key that is no key.

    """
    try:
        return read_certificate_as(_maker(kind, issuer), certificate_der)
    except PolicyError as error:
        raise LintError(f"the certificate cannot be read: {error}") from error


def read_tbs(tbs: bytes, kind: Kind, issuer: IssuerFacts) -> CertificateCandidate:
    """Take a TBSCertificate apart, as part of a certificate with the algorithm of the CA's key.

    Raises:
        LintError: as ``read_certificate``.

    """
    try:
        return read_tbs_as(_maker(kind, issuer), tbs, issuer.signature_algorithm)
    except PolicyError as error:
        raise LintError(f"the certificate cannot be read: {error}") from error


def _maker(kind: Kind, issuer: IssuerFacts) -> Callable[..., CertificateCandidate]:
    def make(**fields: Any) -> CertificateCandidate:
        return CertificateCandidate(**fields, kind=kind, issuer=issuer, public_key=read_public_key(fields["spki_der"]))

    return make


def read_crl(crl_der: bytes, issuer: IssuerFacts) -> CrlCandidate:
    """Take a CRL apart; its entries are not copied.

    Raises:
        LintError: it cannot be read: malformed DER or an extension twice.

    """
    try:
        return _read_crl(crl_der, issuer)
    except unreadable(PolicyError, IndexError) as error:
        raise LintError(f"the CRL cannot be read: {error}") from error


def _read_crl(octets: bytes, issuer: IssuerFacts) -> CrlCandidate:
    tbs, outer, _signature = der.children(octets, der.whole(octets))
    fields = der.children(octets, tbs)
    version = fields.pop(0) if fields[0].tag == der.INTEGER else None
    inner, issuer_name, *rest = fields
    times = [field for field in rest if field.tag in (der.UTC_TIME, der.GENERALIZED_TIME)]
    entries = next((field for field in rest if field.tag == der.SEQUENCE), None)
    crl = x509.load_der_x509_crl(octets)
    return CrlCandidate(
        issuer=issuer,
        crl=crl,
        version=None if version is None else octets[version.begin : version.end],
        inner_algorithm=octets[inner.start : inner.end],
        outer_algorithm=octets[outer.start : outer.end],
        issuer_der=octets[issuer_name.start : issuer_name.end],
        times=tuple(_time(octets, field) for field in times),
        entries=None if entries is None else memoryview(octets)[entries.begin : entries.end],
        extensions={extension.oid: extension for extension in crl.extensions},
    )


def _time(octets: bytes, element: Element) -> EncodedTime:
    return EncodedTime(element.tag, octets[element.begin : element.end])
