"""Certificates and CRLs as the lint judges them: taken apart once, from the octets that are to be signed.

A certificate comes from its octets alone; only its key is read by the library. Of a CRL, what a rule must see as
it is encoded (times, names, algorithms) comes from the octets, and the extensions from the library.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from cryptography import x509

from iotonboard.errors import LintError, PolicyError
from iotonboard.model import Validity
from iotonboard.pki import der
from iotonboard.pki.keys import key_type_of, read_public_key
from iotonboard.pki.lint.names import read_name
from iotonboard.pki.lint.reader import Certificate, EncodedTime, read_certificate, read_tbs
from iotonboard.pki.parse_errors import UNREADABLE

if TYPE_CHECKING:
    from cryptography.x509.oid import ObjectIdentifier

    from iotonboard.model import KeyType
    from iotonboard.pki.der import Element
    from iotonboard.pki.lint.names import Name
    from iotonboard.pki.profile_values import FilledProfile

    Extensions = dict[ObjectIdentifier, x509.Extension[x509.ExtensionType]]


_SUBJECT_KEY_ID: Final = der.oid("2.5.29.14")
_NAME_CONSTRAINTS: Final = der.oid("2.5.29.30")
DIRECTORY_NAME: Final = 0xA4  # GeneralName, RFC 5280 4.2.1.6
PERMITTED_SUBTREES: Final = 0xA0  # RFC 5280 4.2.1.10


class Kind(StrEnum):
    """What a certificate is for; decides the rules."""

    CA = "ca"
    ROOT = "root"
    STATION = "station"
    DEVICE = "device"
    SERVER = "server"
    PROFILED = "profiled"


@dataclass(frozen=True, slots=True)
class IssuerFacts:
    """What the lint compares with: the issuing CA's name, key id, validity and type of key.

    ``permitted``: names of which one is the beginning of each subject that it certifies; empty: no limit.
    """

    subject_der: bytes
    key_id: bytes
    validity: Validity
    key_type: KeyType
    permitted: tuple[Name, ...] = ()


@dataclass(frozen=True, slots=True)
class CertificateCandidate:
    """A certificate with what it is for, who is to sign it, and its key, read by the library.

    ``profile``: what one of that kind was filled in with.
    """

    certificate: Certificate
    kind: Kind
    issuer: IssuerFacts
    public_key: object
    profile: FilledProfile | None = None


@dataclass(frozen=True, slots=True)
class CrlCandidate:
    """A CRL with the fields that rules look at (RFC 5280 5.1); ``entries`` is None without the list.

    ``crl_url``: the one of the issuingDistributionPoint that it shall have; empty: none.
    """

    issuer: IssuerFacts
    crl: x509.CertificateRevocationList
    version: bytes | None
    signature_algorithm: bytes
    issuer_der: bytes
    times: tuple[EncodedTime, ...]
    entries: memoryview | None
    extensions: Extensions
    crl_url: str = ""


def issuer_facts(certificate_der: bytes) -> IssuerFacts:
    """Read from a CA's certificate what the lint holds against all that it issues.

    Raises:
        PolicyError: it cannot be read, or has no subjectKeyIdentifier.

    """
    # A CA of another program may have texts in its name that this one writes nowhere, such as a mail address.
    certificate = read_certificate(certificate_der, with_subject=False)
    extension = certificate.extensions.get(_SUBJECT_KEY_ID)
    if extension is None:
        raise PolicyError("the CA certificate has no subjectKeyIdentifier")
    key_id = der.whole(extension.value, der.OCTET_STRING)
    return IssuerFacts(
        certificate.subject_der,
        extension.value[key_id.begin : key_id.end],
        Validity(certificate.not_before, certificate.not_after),
        key_type_of(read_public_key(certificate.spki_der)),
        _permitted(certificate),
    )


def _permitted(certificate: Certificate) -> tuple[Name, ...]:
    """The directory names that nameConstraints permit (RFC 5280 4.2.1.10); nothing else is looked at."""
    extension = certificate.extensions.get(_NAME_CONSTRAINTS)
    if extension is None:
        return ()
    value, names = extension.value, []
    for part in der.children(value, der.whole(value)):
        for subtree in der.children(value, part) if part.tag == PERMITTED_SUBTREES else ():
            base, *_ = der.children(value, subtree)
            if base.tag == DIRECTORY_NAME:
                names.append(read_name(value[base.begin : base.end]))
    return tuple(names)


def read_candidate(
    tbs: bytes, kind: Kind, issuer: IssuerFacts, profile: FilledProfile | None = None
) -> CertificateCandidate:
    """Take a TBSCertificate apart.

    Raises:
        LintError: it cannot be read: malformed DER, an extension twice, or a public key that is no key.

    """
    try:
        certificate = read_tbs(tbs)
        return CertificateCandidate(certificate, kind, issuer, read_public_key(certificate.spki_der), profile)
    except PolicyError as error:
        raise LintError(f"the certificate cannot be read: {error}") from error


def read_crl_candidate(tbs: bytes, issuer: IssuerFacts, crl_url: str = "") -> CrlCandidate:
    """Take a TBSCertList apart, which shall have a distribution point with this URL; its entries are not copied.

    Raises:
        LintError: it cannot be read: malformed DER or an extension twice.

    """
    try:
        return _read_crl(tbs, issuer, crl_url)
    except (PolicyError, IndexError, *UNREADABLE) as error:
        raise LintError(f"the CRL cannot be read: {error}") from error


def _read_crl(tbs: bytes, issuer: IssuerFacts, crl_url: str) -> CrlCandidate:
    fields = der.children(tbs, der.whole(tbs))
    version = fields.pop(0) if fields[0].tag == der.INTEGER else None
    algorithm, issuer_name, *rest = fields
    signature_algorithm = tbs[algorithm.start : algorithm.end]
    times = [field for field in rest if field.tag in (der.UTC_TIME, der.GENERALIZED_TIME)]
    entries = next((field for field in rest if field.tag == der.SEQUENCE), None)
    crl = x509.load_der_x509_crl(_unsigned(tbs, signature_algorithm))
    return CrlCandidate(
        issuer=issuer,
        crl=crl,
        version=None if version is None else tbs[version.begin : version.end],
        signature_algorithm=signature_algorithm,
        issuer_der=tbs[issuer_name.start : issuer_name.end],
        times=tuple(_time(tbs, field) for field in times),
        entries=None if entries is None else memoryview(tbs)[entries.begin : entries.end],
        extensions={extension.oid: extension for extension in crl.extensions},
        crl_url=crl_url,
    )


def _unsigned(tbs: bytes, algorithm: bytes) -> bytes:
    """Complete a TBSCertList with an empty signature, because the library reads whole CRLs only."""
    # One join: a TBSCertList can be 50 MB.
    size = len(tbs) + len(algorithm) + len(der.EMPTY_BIT_STRING)
    return b"".join((der.header(der.SEQUENCE, size), tbs, algorithm, der.EMPTY_BIT_STRING))


def _time(octets: bytes, element: Element) -> EncodedTime:
    return EncodedTime(element.tag, octets[element.begin : element.end])
