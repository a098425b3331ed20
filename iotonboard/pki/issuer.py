"""A CA that can sign: its key, and the certificates of this key."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography import x509

from iotonboard.errors import KeyUnavailableError, PolicyError
from iotonboard.pki.lint.candidate import Kind, issuer_facts
from iotonboard.pki.linting_key import linting_key
from iotonboard.pki.parse_errors import UNREADABLE
from iotonboard.pki.profiles import check_permitted

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.model import Validity
    from iotonboard.pki.lint.candidate import IssuerFacts
    from iotonboard.pki.linting_key import LintingKey
    from iotonboard.pki.signatures import Signer


@dataclass(frozen=True, slots=True)
class Issuer:
    """Made by ``load_issuer``, used many times.

    ``name`` and ``authority_key_id`` are what each certificate says of its issuer; ``device_key`` and ``server_key``
    sign those that pass the lint as one, held against ``facts``.
    """

    certificates: tuple[bytes, ...]
    signer: Signer = field(repr=False)
    name: x509.Name = field(repr=False)
    authority_key_id: x509.AuthorityKeyIdentifier = field(repr=False)
    facts: IssuerFacts = field(repr=False)
    device_key: LintingKey = field(repr=False)
    server_key: LintingKey = field(repr=False)

    @property
    def certificate_der(self) -> bytes:
        """The CA's own certificate, whose validity bounds what it issues."""
        return self.certificates[0]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the CA's own certificate, lower-case hex."""
        return sha256(self.certificate_der).hexdigest()

    @property
    def validity(self) -> Validity:
        """The CA certificate's notBefore and notAfter."""
        return self.facts.validity

    @property
    def subject_der(self) -> bytes:
        """The CA's Name, octet for octet as in its certificate."""
        return self.facts.subject_der

    @property
    def key_id(self) -> bytes:
        """The CA's subjectKeyIdentifier."""
        return self.facts.key_id

    def check_subject(self, subject: x509.Name) -> None:
        """Refuse a subject that the CA's root does not permit it.

        Raises:
            PolicyError: see ``check_permitted``.

        """
        if self.facts.permitted:
            check_permitted(subject, self.certificate_der)

    def __reduce__(self) -> tuple[Callable[..., Issuer], tuple[object, ...]]:
        """Pickle it for a worker process, which makes the library's objects anew."""
        own, *further = self.certificates
        return load_issuer, (own, self.signer, *further)


def load_issuer(certificate_der: bytes, signer: Signer, *further: bytes) -> Issuer:
    """Bind a CA's own certificate, and ``further`` ones of the same key and name, to the key, parsing each once.

    Raises:
        PolicyError: one is not a certificate, or not one of a CA that may sign certificates and CRLs, or a further one
            has another name.
        KeyUnavailableError: the key belongs to another certificate.

    """
    name, key_id = _read_ca(certificate_der, signer)
    for other_der in further:
        if _read_ca(other_der, signer) != (name, key_id):
            raise PolicyError("the certificates are not of one CA: names or key identifiers differ")
    facts = issuer_facts(certificate_der)
    return Issuer(
        certificates=(certificate_der, *further),
        signer=signer,
        name=name,
        authority_key_id=x509.AuthorityKeyIdentifier(key_id, None, None),
        facts=facts,
        device_key=linting_key(signer, Kind.DEVICE, facts),
        server_key=linting_key(signer, Kind.SERVER, facts),
    )


def _read_ca(certificate_der: bytes, signer: Signer) -> tuple[x509.Name, bytes]:
    """Read subject and subjectKeyIdentifier of a CA's certificate."""
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        public_key, extensions = certificate.public_key(), certificate.extensions
        # The library warns of a commonName of more than 64 octets; RFC 5280 counts characters.
        with warnings.catch_warnings(action="ignore"):
            name = certificate.subject
    except UNREADABLE as error:
        raise PolicyError("this is not a CA certificate that can be read") from error
    key_id = _signing_key_id(extensions)
    if public_key != signer.public_key():
        raise KeyUnavailableError(
            "the private key does not belong to the CA certificate",
            hint="bring back the key and the certificate that were made together",
        )
    if key_id is None:
        raise PolicyError("the certificate is not one of a CA that may sign certificates and CRLs")
    return name, key_id


def _signing_key_id(extensions: x509.Extensions) -> bytes | None:
    """Key identifier of a CA that may sign certificates and CRLs (RFC 5280 4.2.1.3); brokers insist on the latter."""
    found = {extension.oid: extension.value for extension in extensions}
    constraints = found.get(x509.BasicConstraints.oid)
    usage = found.get(x509.KeyUsage.oid)
    key_id = found.get(x509.SubjectKeyIdentifier.oid)
    if not isinstance(constraints, x509.BasicConstraints):
        return None
    # Without the extension, as 'openssl req -x509' made CAs for long, a key may be used for everything.
    may_sign = not isinstance(usage, x509.KeyUsage) or (usage.key_cert_sign and usage.crl_sign)
    is_signing_ca = constraints.ca and may_sign
    return key_id.digest if is_signing_ca and isinstance(key_id, x509.SubjectKeyIdentifier) else None
