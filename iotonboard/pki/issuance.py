"""Certificates: requests and profiles in, signed DER out; every TBSCertificate is linted before that."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from iotonboard.errors import KeyUnavailableError, PolicyError
from iotonboard.model import DeviceId, Validity, whole_seconds
from iotonboard.pki import der, lint, signer
from iotonboard.pki.candidate import IssuerFacts, Kind
from iotonboard.pki.facts import certificate_facts, fingerprint
from iotonboard.pki.hostnames import parse_host_names
from iotonboard.pki.keys import PublicKey, key_identifier, spki_der
from iotonboard.pki.rules_certificate import urn_of
from iotonboard.record import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from iotonboard.model import SerialNumber
    from iotonboard.pki.keys import PrivateKey
    from iotonboard.pki.profiles import CaProfile, DeviceProfile, ServerProfile

__all__ = [
    "Issuer",
    "certificate_facts",
    "fingerprint",
    "issue_device",
    "issue_server",
    "load_issuer",
    "make_ca",
    "validity_for",
]

_VERSION_3: Final = der.explicit(0, der.integer(2))
_COMMON_NAME_BOUND: Final = 64  # RFC 5280 appendix A.1, ub-common-name


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


# RSA too: TLS 1.3 and the ECDHE suites of TLS 1.2 only sign.
_CA_KEY_USAGE: Final = _key_usage(is_ca=True)
_END_ENTITY_KEY_USAGE: Final = _key_usage(is_ca=False)
_CLIENT_AUTH: Final = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
_SERVER_AUTH: Final = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
_CA: Final = x509.BasicConstraints(ca=True, path_length=0)
_END_ENTITY: Final = x509.BasicConstraints(ca=False, path_length=None)


@dataclass(frozen=True, slots=True)
class Issuer:
    """A CA that can sign: certificate and key belong together. Made by ``load_issuer``, used many times."""

    certificate_der: bytes
    key: PrivateKey = field(repr=False)
    facts: IssuerFacts = field(repr=False)
    name: x509.Name = field(repr=False)
    fingerprint: str

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


def load_issuer(certificate_der: bytes, key: PrivateKey) -> Issuer:
    """Bind a CA certificate to its key, parsing it once.

    Raises:
        PolicyError: it is not a certificate, or not one of a CA that may sign certificates and CRLs.
        KeyUnavailableError: the key belongs to another certificate.

    """
    found = certificate_facts(certificate_der)
    certificate = x509.load_der_x509_certificate(certificate_der)
    public_key = key.public_key()
    if found.spki_der != spki_der(public_key):
        raise KeyUnavailableError(
            "the private key does not belong to the CA certificate",
            hint="bring back the key and the certificate that were made together",
        )
    if not found.is_ca or found.key_id is None or not _may_sign(certificate):
        raise PolicyError("the certificate is not one of a CA that may sign certificates and CRLs")
    algorithm = signer.signature_algorithm(public_key)
    facts = IssuerFacts(found.subject_der, found.key_id, found.validity, algorithm)
    return Issuer(certificate_der, key, facts, certificate.subject, found.fingerprint)


def _may_sign(certificate: x509.Certificate) -> bool:
    """Say whether keyUsage has keyCertSign and cRLSign (RFC 5280 4.2.1.3); brokers insist on the latter."""
    try:
        usage = certificate.extensions.get_extension_for_oid(ExtensionOID.KEY_USAGE).value
    except x509.ExtensionNotFound:
        return False
    return isinstance(usage, x509.KeyUsage) and usage.key_cert_sign and usage.crl_sign


def make_ca(profile: CaProfile, key: PrivateKey, serial: SerialNumber, validity: Validity) -> bytes:
    """Make a self-signed v3 CA certificate (DER): pathLenConstraint 0, keyCertSign and cRLSign.

    Raises:
        LintError: a rule was broken; nothing was signed.

    """
    name, spki = profile.subject.name(), spki_der(key.public_key())
    key_id = key_identifier(spki)
    algorithm = signer.signature_algorithm(key.public_key())
    facts = IssuerFacts(name.public_bytes(), key_id, validity, algorithm)
    extensions = [
        _extension(_CA, critical=True),
        _extension(_CA_KEY_USAGE, critical=True),
        _extension(x509.SubjectKeyIdentifier(key_id), critical=False),
    ]
    return _sign(_tbs_certificate(facts, name, spki, serial, validity, extensions), key, Kind.CA, facts)


def issue_device(
    issuer: Issuer,
    public_key: PublicKey,
    device_id: DeviceId,
    serial: SerialNumber,
    validity: Validity,
    profile: DeviceProfile,
) -> bytes:
    """Issue a TLS client certificate (DER) whose commonName is the device id.

    A UUID is also a subjectAltName ``urn:uuid:``. The key may come from outside: weak ones are refused.

    Raises:
        LintError: a rule was broken; nothing was signed.

    """
    spki = spki_der(public_key)
    extensions = _end_entity_extensions(issuer, spki, _CLIENT_AUTH)
    if urn := urn_of(device_id):
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(urn)])
        extensions.append(_extension(names, critical=False))
    subject = profile.name(DeviceId(device_id))
    tbs = _tbs_certificate(issuer.facts, subject, spki, serial, validity, extensions)
    return _sign(tbs, issuer.key, Kind.DEVICE, issuer.facts)


def issue_server(
    issuer: Issuer,
    public_key: PublicKey,
    names: Sequence[str],
    serial: SerialNumber,
    validity: Validity,
    profile: ServerProfile,
) -> bytes:
    """Issue a TLS server certificate (DER) for host names and IPv4 or IPv6 addresses.

    Every name is a subjectAltName; the first is the commonName too, unless it is longer than 64 characters.

    Raises:
        PolicyError: no name, or one that is neither host name nor address.
        LintError: a rule was broken; nothing was signed.

    """
    hosts = parse_host_names(names)
    first = str(hosts[0].value)
    subject = profile.name(first if len(first) <= _COMMON_NAME_BOUND else None)
    spki = spki_der(public_key)
    extensions = _end_entity_extensions(issuer, spki, _SERVER_AUTH)
    # RFC 5280 4.2.1.6: critical when the subject is empty.
    extensions.append(_extension(x509.SubjectAlternativeName(hosts), critical=not list(subject)))
    tbs = _tbs_certificate(issuer.facts, subject, spki, serial, validity, extensions)
    return _sign(tbs, issuer.key, Kind.SERVER, issuer.facts)


def validity_for(now: datetime, days: int, *, skew_minutes: int, issuer_validity: Validity | None) -> Validity:
    """Choose notBefore and notAfter of a certificate made at ``now`` (aware UTC).

    notBefore lies ``skew_minutes`` before ``now``, for slow clocks, but not before the CA's. notAfter lies
    ``days`` after ``now``. ``issuer_validity`` is None for the CA itself.

    Raises:
        PolicyError: ``days`` is not positive or beyond the calendar, ``now`` is outside the CA's validity, or
            the certificate would outlive its CA; the hint says how many whole days fit.

    """
    moment = whole_seconds(now)
    not_before = moment - timedelta(minutes=skew_minutes)
    try:
        not_after = moment + timedelta(days=days)
    except OverflowError:
        not_after = None
    if days < 1 or not_after is None:
        raise PolicyError(f"{days} days is not a possible validity", hint="use a positive number of days")
    if issuer_validity is None:
        return Validity(not_before, not_after)
    _check_lifetime(moment, days, not_after, issuer_validity)
    return Validity(max(not_before, issuer_validity.not_before), not_after)


def _check_lifetime(moment: datetime, days: int, not_after: datetime, issuer_validity: Validity) -> None:
    """Refuse what the CA cannot vouch for (RFC 5280 6.1.3 (a)(2))."""
    if moment < issuer_validity.not_before:
        raise PolicyError("the clock is before the beginning of the CA", hint="set the workstation's clock")
    if not_after <= issuer_validity.not_after:
        return
    fitting = (issuer_validity.not_after - moment).days
    if fitting < 1:
        raise PolicyError("the CA has expired or ends within a day", hint="type: iotonboard ca-rollover")
    raise PolicyError(
        f"a certificate of {days} days would outlive its CA, which has {fitting} whole days left",
        hint=f"use {fitting} days or fewer, or 'iotonboard ca-rollover' for a new CA",
    )


def _extension(value: x509.ExtensionType, *, critical: bool) -> bytes:
    """Encode an Extension (RFC 5280 4.1.2.9); DER leaves FALSE out (X.690 11.5)."""
    head = der.oid(value.oid.dotted_string) + (der.TRUE if critical else b"")
    return der.sequence(head, der.octet_string(value.public_bytes()))


@cache
def _end_entity(purpose: x509.ExtendedKeyUsage) -> bytes:
    """Encode the extensions that are the same in every certificate for one purpose."""
    return (
        _extension(_END_ENTITY, critical=True)
        + _extension(_END_ENTITY_KEY_USAGE, critical=True)
        + _extension(purpose, critical=False)
    )


def _end_entity_extensions(issuer: Issuer, spki: bytes, purpose: x509.ExtendedKeyUsage) -> list[bytes]:
    """List the extensions that devices and brokers share."""
    return [
        _end_entity(purpose),
        _extension(x509.SubjectKeyIdentifier(key_identifier(spki)), critical=False),
        _extension(x509.AuthorityKeyIdentifier(issuer.key_id, None, None), critical=False),
    ]


def _tbs_certificate(
    issuer: IssuerFacts, subject: x509.Name, spki: bytes, serial: SerialNumber, validity: Validity,
    extensions: Iterable[bytes],
) -> bytes:  # fmt: skip
    """Assemble a TBSCertificate v3 (RFC 5280 4.1.2); the library's builder takes three times as long."""
    return der.sequence(
        _VERSION_3,
        der.integer(serial),
        issuer.signature_algorithm,
        issuer.subject_der,
        der.sequence(der.x509_time(validity.not_before), der.x509_time(validity.not_after)),
        subject.public_bytes(),
        spki,
        der.explicit(3, der.sequence(*extensions)),
    )


def _sign(tbs: bytes, key: PrivateKey, kind: Kind, issuer: IssuerFacts) -> bytes:
    """Sign with a key that lints the octets before."""
    inspecting = signer.inspecting(key, lint.certificate_inspector(kind, issuer))
    signature = signer.sign_tbs(inspecting, tbs)
    return der.sequence(tbs, issuer.signature_algorithm, der.bit_string(signature))
