"""CAs and CRLs that other programs made: what is wrong with them, before a broker meets them.

What a broker makes of them all together is asked from OpenSSL (``broker/handshake.py``). Here is looked at what each
must be by itself, in the words of RFC 5280, so that whoever brings the files learns which one to ask for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from iotonboard.errors import PolicyError
from iotonboard.pki.crl import CrlFacts, foreign_crl_facts
from iotonboard.pki.parse_errors import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_Value = TypeVar("_Value", bound=x509.ExtensionType)
_LARGEST: Final = 1 << 16  # octets of a certificate
_LONGEST_NUMBER: Final = 10**49
_CLIENTS: Final = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}


@dataclass(frozen=True, slots=True)
class ForeignCa:
    """A CA that somebody else made. ``key_id`` is its subjectKeyIdentifier, or empty.

    ``name`` is its subject for people, and ``subject`` that by which OpenSSL compares: two that differ in the case of
    ASCII letters or in blanks are one.
    """

    der: bytes = field(repr=False)
    name: str
    fingerprint: str
    subject: tuple[tuple[str, str], ...]
    spki_der: bytes = field(repr=False)
    key_id: bytes
    is_self_issued: bool
    not_before: datetime
    not_after: datetime
    problem: str

    @property
    def short_name(self) -> str:
        """Its commonName, where it has one; else ``name``."""
        found = _load(self.der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(found[0].value) if found else self.name

    def issued(self, other: ForeignCa) -> bool:
        """Say whether it signed another CA's certificate."""
        if self.der == other.der:
            return False
        try:
            _load(other.der).verify_directly_issued_by(_load(self.der))
        except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
            return False
        return True


def read_foreign_ca(der: bytes) -> ForeignCa:
    """Read a certificate; ``problem`` says why it can be no CA of clients, and is empty otherwise.

    Raises:
        PolicyError: it cannot be read.
    """
    try:
        certificate = _load(der)
        values = {type(one.value): one.value for one in certificate.extensions}
        key_id = values.get(x509.SubjectKeyIdentifier)
        spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return ForeignCa(
            der,
            _name(certificate.subject),
            sha256(der).hexdigest(),
            _folded(certificate.subject),
            spki,
            key_id.digest if isinstance(key_id, x509.SubjectKeyIdentifier) else b"",
            certificate.issuer == certificate.subject,
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
            _ca_problem(certificate),
        )
    except UNREADABLE as error:
        raise PolicyError("a certificate in it cannot be read", hint="openssl x509 -text -in FILE says more") from error


def chain_from(own: bytes, others: Iterable[bytes]) -> list[ForeignCa]:
    """A certificate and those above it, DER among the others: up to the root, or as far as they are there.

    Raises:
        PolicyError: one cannot be read.
    """
    chain, left = [read_foreign_ca(own)], [read_foreign_ca(der) for der in dict.fromkeys(others) if der != own]
    while not chain[-1].is_self_issued:
        above = next((one for one in left if one.issued(chain[-1])), None)
        if above is None:
            break
        left.remove(above)
        chain.append(above)
    return chain


def serial_of(certificate_der: bytes) -> int:
    """The serial number of a certificate that was read before, whatever it is."""
    return _load(certificate_der).serial_number


def _load(der: bytes) -> x509.Certificate:
    return x509.load_der_x509_certificate(der)


def _name(subject: x509.Name) -> str:
    return ", ".join(str(one.value) for one in subject) or "a CA without a name"


def _folded(subject: x509.Name) -> tuple[tuple[str, str], ...]:
    ascii_lower = {letter: letter + 32 for letter in range(ord("A"), ord("Z") + 1)}
    return tuple((one.oid.dotted_string, " ".join(str(one.value).split()).translate(ascii_lower)) for one in subject)


def _ca_problem(certificate: x509.Certificate) -> str:
    """RFC 5280 4.2.1.3, 4.2.1.9, 4.2.1.12: what keeps a certificate from being the CA of clients with a CRL."""
    constraints = _value(certificate, x509.BasicConstraints)
    is_old_root = certificate.version is x509.Version.v1 and certificate.issuer == certificate.subject
    if not is_old_root and (constraints is None or not constraints.ca):
        return "it is not a CA (basicConstraints)"
    usage = _value(certificate, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        return "its key usage does not allow certificates (keyCertSign)"
    if usage is not None and not usage.crl_sign:
        return "its key usage does not allow CRLs (cRLSign): no broker believes a CRL of it"
    purposes = _value(certificate, x509.ExtendedKeyUsage)
    if purposes is not None and not _CLIENTS & set(purposes):
        return "its extended key usage excludes clients (clientAuth)"
    if len(certificate.public_bytes(Encoding.DER)) > _LARGEST:
        return f"its certificate has more than {_LARGEST} octets"
    return ""


def _value(certificate: x509.Certificate, kind: type[_Value]) -> _Value | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def signed_by(crl_der: bytes, ca: ForeignCa) -> bool:
    """Say whether a CRL is of this CA, by name and signature."""
    try:
        foreign_crl_facts(crl_der, ca.der)
    except PolicyError:
        return False
    return True


def read_foreign_crl(crl_der: bytes, ca: ForeignCa) -> CrlFacts:
    """Read a CRL of a CA that others keep; ``number`` is 0 where it has none.

    Raises:
        PolicyError: a broker would not believe it, or not as it is meant; or it is of another CA.
    """
    facts = foreign_crl_facts(crl_der, ca.der)
    problem = _crl_problem(x509.load_der_x509_crl(crl_der))
    if facts.number >= _LONGEST_NUMBER:
        problem = "its number has more than 20 octets"
    if problem:
        raise PolicyError(f"CRL {facts.number} of {ca.name!r}: {problem}", hint="ask for a complete CRL without that")
    return facts


def _crl_problem(crl: x509.CertificateRevocationList) -> str:
    """RFC 5280 5.2: what makes a list one of some certificates only, or one that no broker understands."""
    for one in crl.extensions:
        if one.oid == ExtensionOID.DELTA_CRL_INDICATOR:
            return "it is a delta CRL"
        if one.oid == ExtensionOID.ISSUING_DISTRIBUTION_POINT:
            return "it has an issuing distribution point: brokers refuse every certificate without the same one"
        if one.critical and one.oid not in {ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.CRL_NUMBER}:
            return f"its critical extension {one.oid.dotted_string} is not known to brokers"
    return ""


def has_authority_key_id(crl_der: bytes) -> bool:
    """Say whether a CRL names its CA's key, and not the CA's name alone."""
    try:
        found = x509.load_der_x509_crl(crl_der).extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return False
    return found.key_identifier is not None
