"""Certificates: requests and profiles in, signed DER out; every TBSCertificate is linted before that."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from iotonboard.errors import KeyUnavailableError, PolicyError
from iotonboard.model import Validity, whole_seconds
from iotonboard.pki import der, signatures
from iotonboard.pki.hostnames import parse_host_names
from iotonboard.pki.keys import PublicKey, key_identifier, spki_der
from iotonboard.pki.lint import lint
from iotonboard.pki.lint.candidate import IssuerFacts, Kind
from iotonboard.pki.lint.certificate_rules import urn_of
from iotonboard.pki.lint.reader import Certificate, read_certificate_as

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iotonboard.model import DeviceId, SerialNumber
    from iotonboard.pki.hostnames import HostName
    from iotonboard.pki.keys import PrivateKey
    from iotonboard.pki.lint.lint import Linted
    from iotonboard.pki.profiles import CaProfile, DeviceProfile, ServerProfile

_COMMON_NAME_BOUND: Final = 64  # RFC 5280 appendix A.1, ub-common-name


_VERSION_3: Final = der.explicit(0, der.integer(2))
_URI_TAG, _DNS_TAG, _ADDRESS_TAG = 0x86, 0x82, 0x87  # GeneralName, RFC 5280 4.2.1.6
_KEY_IDENTIFIER_TAG: Final = 0x80  # AuthorityKeyIdentifier ::= SEQUENCE { keyIdentifier [0] IMPLICIT ... }
_BASIC_CONSTRAINTS: Final = der.oid("2.5.29.19")
_KEY_USAGE: Final = der.oid("2.5.29.15")
_EXTENDED_KEY_USAGE: Final = der.oid("2.5.29.37")
_SUBJECT_KEY_ID: Final = der.oid("2.5.29.14")
_AUTHORITY_KEY_ID: Final = der.oid("2.5.29.35")
_ALT_NAME: Final = der.oid("2.5.29.17")
_CERT_AND_CRL_SIGN: Final = 0x06  # bits 5 and 6 of keyUsage (RFC 5280 4.2.1.3)


def _named_bits(octet: int) -> bytes:
    """Write a BIT STRING of at most eight named bits, without the zeros at its end (X.690 11.2.2)."""
    unused = (octet & -octet).bit_length() - 1
    return der.tlv(der.BIT_STRING, bytes((unused, octet)))


def _extension(identifier: bytes, value: bytes, *, critical: bool = False) -> bytes:
    # FALSE is the default, and DER leaves defaults out (X.690 11.5).
    return der.sequence(identifier, der.TRUE if critical else b"", der.octet_string(value))


def _purpose(dotted: str) -> bytes:
    return _extension(_EXTENDED_KEY_USAGE, der.sequence(der.oid(dotted)))


_CA: Final = _extension(_BASIC_CONSTRAINTS, der.sequence(der.TRUE, der.integer(0)), critical=True)
_CA_KEY_USAGE: Final = _extension(_KEY_USAGE, _named_bits(_CERT_AND_CRL_SIGN), critical=True)
_END_ENTITY: Final = _extension(_BASIC_CONSTRAINTS, der.sequence(), critical=True)
# digitalSignature, for RSA too: TLS 1.3 and the ECDHE suites of TLS 1.2 only sign.
_END_ENTITY_KEY_USAGE: Final = _extension(_KEY_USAGE, _named_bits(0x80), critical=True)
_CLIENT_AUTH: Final = _purpose("1.3.6.1.5.5.7.3.2")
_SERVER_AUTH: Final = _purpose("1.3.6.1.5.5.7.3.1")


@dataclass(frozen=True, slots=True)
class Issuer:
    """A CA that can sign: certificate and key belong together. Made by ``load_issuer``, used many times."""

    certificate_der: bytes
    key: PrivateKey = field(repr=False)
    facts: IssuerFacts = field(repr=False)
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
    found = read_certificate_as(Certificate, certificate_der)
    public_key = key.public_key()
    if found.spki_der != spki_der(public_key):
        raise KeyUnavailableError(
            "the private key does not belong to the CA certificate",
            hint="bring back the key and the certificate that were made together",
        )
    key_id = _signing_key_id(found)
    if key_id is None:
        raise PolicyError("the certificate is not one of a CA that may sign certificates and CRLs")
    algorithm = signatures.signature_algorithm(public_key)
    validity = Validity(found.not_before, found.not_after)
    facts = IssuerFacts(found.subject_der, key_id, validity, algorithm)
    return Issuer(certificate_der, key, facts, sha256(certificate_der).hexdigest())


def _signing_key_id(certificate: Certificate) -> bytes | None:
    """Key identifier of a CA that may sign certificates and CRLs (RFC 5280 4.2.1.3); brokers insist on the latter."""
    found = [certificate.extensions.get(name) for name in (_BASIC_CONSTRAINTS, _KEY_USAGE, _SUBJECT_KEY_ID)]
    constraints, usage, key_id = (extension.value if extension else b"" for extension in found)
    if not constraints or not usage or not key_id:
        return None
    is_ca = next(iter(der.children(constraints, der.whole(constraints))), None)
    bits = der.whole(usage, der.BIT_STRING)
    signs = usage[bits.begin + 1 : bits.end][:1] or b"\0"
    if is_ca is None or is_ca.tag != der.BOOLEAN or signs[0] & _CERT_AND_CRL_SIGN != _CERT_AND_CRL_SIGN:
        return None
    identifier = der.whole(key_id, der.OCTET_STRING)
    return key_id[identifier.begin : identifier.end]


def make_ca(profile: CaProfile, key: PrivateKey, serial: SerialNumber, validity: Validity) -> bytes:
    """Make a self-signed v3 CA certificate (DER): pathLenConstraint 0, keyCertSign and cRLSign.

    Raises:
        LintError: a rule was broken; nothing was signed.

    """
    name, spki = profile.subject.name(), spki_der(key.public_key())
    key_id = key_identifier(spki)
    algorithm = signatures.signature_algorithm(key.public_key())
    facts = IssuerFacts(name, key_id, validity, algorithm)
    extensions = [_CA, _CA_KEY_USAGE, _extension(_SUBJECT_KEY_ID, der.octet_string(key_id))]
    tbs = _tbs(facts, name, spki, serial, validity, extensions)
    return _signed(lint.linted_certificate(tbs, Kind.CA, facts), key, algorithm)


def issue_device(
    issuer: Issuer,
    public_key: PublicKey,
    device_id: DeviceId,
    serial: SerialNumber,
    validity: Validity,
    profile: DeviceProfile,
) -> bytes:
    """Issue a TLS client certificate (DER): ``write_device``, lint, ``sign_certificate``.

    Raises:
        LintError: a rule was broken; nothing was signed.

    """
    tbs = write_device(issuer, spki_der(public_key), device_id, serial, validity, profile)
    return sign_certificate(issuer, lint.linted_certificate(tbs, Kind.DEVICE, issuer.facts))


def write_device(
    issuer: Issuer, spki: bytes, device_id: DeviceId, serial: SerialNumber, validity: Validity, profile: DeviceProfile
) -> bytes:
    """Write the TBSCertificate (DER) of a TLS client whose commonName is the device id.

    A UUID is also a subjectAltName ``urn:uuid:``.
    """
    extensions = _end_entity_extensions(issuer, spki, _CLIENT_AUTH)
    if urn := urn_of(device_id):
        extensions.append(_extension(_ALT_NAME, der.sequence(der.tlv(_URI_TAG, urn.encode("ascii")))))
    return _tbs(issuer.facts, profile.name(device_id), spki, serial, validity, extensions)


def sign_certificate(issuer: Issuer, linted: Linted) -> bytes:
    """Sign with the CA's key what was linted; the whole Certificate (DER)."""
    return _signed(linted, issuer.key, issuer.facts.signature_algorithm)


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
    first = str(hosts[0])
    common_name = first if len(first) <= _COMMON_NAME_BOUND else None
    subject, spki = profile.name(common_name), spki_der(public_key)
    extensions = _end_entity_extensions(issuer, spki, _SERVER_AUTH)
    alt_names = der.sequence(*map(_general_name, hosts))
    # RFC 5280 4.2.1.6: critical when the subject is empty.
    extensions.append(_extension(_ALT_NAME, alt_names, critical=subject == der.sequence()))
    tbs = _tbs(issuer.facts, subject, spki, serial, validity, extensions)
    return sign_certificate(issuer, lint.linted_certificate(tbs, Kind.SERVER, issuer.facts))


def _general_name(host: HostName) -> bytes:
    return der.tlv(_DNS_TAG, host.encode("ascii")) if isinstance(host, str) else der.tlv(_ADDRESS_TAG, host.packed)


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
        raise PolicyError("the CA has expired or ends within a day", hint="type: iotonboard ca rollover begin")
    raise PolicyError(
        f"a certificate of {days} days would outlive its CA, which has {fitting} whole days left",
        hint=f"use {fitting} days or fewer, or 'iotonboard ca rollover begin' for a new CA",
    )


def _end_entity_extensions(issuer: Issuer, spki: bytes, purpose: bytes) -> list[bytes]:
    """List the extensions that devices and brokers share."""
    return [
        _END_ENTITY,
        _END_ENTITY_KEY_USAGE,
        purpose,
        _extension(_SUBJECT_KEY_ID, der.octet_string(key_identifier(spki))),
        _extension(_AUTHORITY_KEY_ID, der.sequence(der.tlv(_KEY_IDENTIFIER_TAG, issuer.key_id))),
    ]


def _tbs(
    issuer: IssuerFacts,
    subject: bytes,
    spki: bytes,
    serial: SerialNumber,
    validity: Validity,
    extensions: list[bytes],
) -> bytes:
    """Write a TBSCertificate (RFC 5280 4.1.2); the names and all that follows from the CA are its own octets."""
    return der.sequence(
        _VERSION_3,
        der.integer(serial),
        issuer.signature_algorithm,
        issuer.subject_der,
        der.sequence(der.x509_time(validity.not_before), der.x509_time(validity.not_after)),
        subject,
        spki,
        der.explicit(3, der.sequence(*extensions)),
    )


def _signed(linted: Linted, key: PrivateKey, algorithm: bytes) -> bytes:
    return der.sequence(linted.tbs, algorithm, der.bit_string(signatures.sign_tbs(key, linted)))
