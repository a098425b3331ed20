"""Certificates: requests and profiles in, signed DER out.

The library's builder encodes them; the key that it signs with judges each by what it is meant to be (``linting_key``).
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from iotonboard.errors import PolicyError
from iotonboard.model import Validity, whole_seconds
from iotonboard.pki import hostnames
from iotonboard.pki.keys import key_identifier, key_type_of
from iotonboard.pki.lint.candidate import IssuerFacts, Kind
from iotonboard.pki.linting_key import linting_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iotonboard.model import DeviceId, SerialNumber
    from iotonboard.pki.ca_profiles import CaProfile, StationProfile
    from iotonboard.pki.hostnames import HostName
    from iotonboard.pki.issuer import Issuer
    from iotonboard.pki.keys import PublicKey
    from iotonboard.pki.linting_key import LintingKey
    from iotonboard.pki.profiles import DeviceProfile, ServerProfile
    from iotonboard.pki.signatures import Signer

_COMMON_NAME_BOUND: Final = 64  # RFC 5280 appendix A.1, ub-common-name
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

NEW_CA: Final = "iotonboard ca rollover begin"  # what makes one that lasts longer
_CA: Final = x509.BasicConstraints(ca=True, path_length=0)
_ROOT: Final = x509.BasicConstraints(ca=True, path_length=1)
_END_ENTITY: Final = x509.BasicConstraints(ca=False, path_length=None)


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


_CA_KEY_USAGE: Final = _key_usage(key_cert_sign=True, crl_sign=True)
# For RSA too: TLS 1.3 and the ECDHE suites of TLS 1.2 only sign.
_END_ENTITY_KEY_USAGE: Final = _key_usage(digital_signature=True)
_CLIENT_AUTH: Final = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
_SERVER_AUTH: Final = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


def make_ca(profile: CaProfile, signer: Signer, serial: SerialNumber, validity: Validity) -> bytes:
    """Make a self-signed v3 CA certificate (DER): pathLenConstraint 0, or 1 of a root, keyCertSign and cRLSign.

    Raises:
        LintError: a rule was broken; nothing was signed.

    """
    public_key, name = signer.public_key(), profile.subject.name()
    key_id = key_identifier(public_key)
    builder = (
        _begun(name, name, public_key, serial, validity)
        .add_extension(_ROOT if profile.is_root else _CA, critical=True)
        .add_extension(_CA_KEY_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier(key_id), critical=False)
    )
    itself = IssuerFacts(name.public_bytes(), key_id, validity, key_type_of(public_key))
    return _signed(builder, linting_key(signer, Kind.ROOT if profile.is_root else Kind.CA, itself))


def certify_station(
    root: Issuer,
    public_key: PublicKey,
    subject: x509.Name,
    serial: SerialNumber,
    validity: Validity,
    profile: StationProfile,
) -> bytes:
    """Certify a CA below a root (DER): pathLenConstraint 0, keyCertSign and cRLSign, and the profile's limit of names.

    Raises:
        LintError: a rule was broken; nothing was signed.

    """
    builder = (
        _begun(root.name, subject, public_key, serial, validity)
        .add_extension(_CA, critical=True)
        .add_extension(_CA_KEY_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier(key_identifier(public_key)), critical=False)
        .add_extension(root.authority_key_id, critical=False)
    )
    if profile.permitted:
        permitted = [x509.DirectoryName(name) for name in profile.permitted]
        builder = builder.add_extension(x509.NameConstraints(permitted, None), critical=True)
    return _signed(builder, linting_key(root.signer, Kind.STATION, root.facts))


def issue_device(
    issuer: Issuer,
    public_key: PublicKey,
    device_id: DeviceId,
    serial: SerialNumber,
    validity: Validity,
    profile: DeviceProfile,
) -> bytes:
    """Issue a TLS client certificate (DER) whose commonName is the device id; a UUID is also a ``urn:uuid:``.

    Raises:
        PolicyError: the name cannot be certified here, or the root does not permit it.
        LintError: a rule was broken; nothing was signed.

    """
    subject = profile.name(device_id)
    issuer.check_subject(subject)
    begun = _begun(issuer.name, subject, public_key, serial, validity)
    builder = _with_end_entity_extensions(begun, issuer, public_key, _CLIENT_AUTH)
    if _UUID.fullmatch(device_id):
        # RFC 4122 section 3: written in lower case.
        urn = x509.UniformResourceIdentifier(f"urn:uuid:{device_id.lower()}")
        builder = builder.add_extension(x509.SubjectAlternativeName([urn]), critical=False)
    if profile.crl_url:
        builder = builder.add_extension(crl_distribution_points(profile.crl_url), critical=False)
    return _signed(builder, issuer.device_key)


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
        PolicyError: no name, one that is neither host name nor address, or the root does not permit the subject.
        LintError: a rule was broken; nothing was signed.

    """
    hosts = hostnames.parse_host_names(names)
    first = str(hosts[0])
    subject = profile.name(first if len(first) <= _COMMON_NAME_BOUND else None)
    issuer.check_subject(subject)
    begun = _begun(issuer.name, subject, public_key, serial, validity)
    builder = _with_end_entity_extensions(begun, issuer, public_key, _SERVER_AUTH)
    alt_names = x509.SubjectAlternativeName(map(_general_name, hosts))
    # RFC 5280 4.2.1.6: critical when the subject is empty.
    builder = builder.add_extension(alt_names, critical=not list(subject))
    return _signed(builder, issuer.server_key)


def crl_distribution_points(url: str) -> x509.CRLDistributionPoints:
    """One point with one URL: the whole list of the CA that issues (RFC 5280 4.2.1.13)."""
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)
    return x509.CRLDistributionPoints([point])


def _general_name(host: HostName) -> x509.GeneralName:
    return x509.DNSName(host) if isinstance(host, str) else x509.IPAddress(host)


def _begun(
    issuer: x509.Name, subject: x509.Name, public_key: PublicKey, serial: SerialNumber, validity: Validity
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(validity.not_before)
        .not_valid_after(validity.not_after)
    )


def _with_end_entity_extensions(
    builder: x509.CertificateBuilder, issuer: Issuer, public_key: PublicKey, purpose: x509.ExtendedKeyUsage
) -> x509.CertificateBuilder:
    """Add the extensions that devices and brokers share."""
    return (
        builder.add_extension(_END_ENTITY, critical=True)
        .add_extension(_END_ENTITY_KEY_USAGE, critical=True)
        .add_extension(purpose, critical=False)
        .add_extension(x509.SubjectKeyIdentifier(key_identifier(public_key)), critical=False)
        .add_extension(issuer.authority_key_id, critical=False)
    )


def _signed(builder: x509.CertificateBuilder, key: LintingKey) -> bytes:
    return builder.sign(key, key.builder_digest).public_bytes(serialization.Encoding.DER)


def validity_for(
    now: datetime,
    days: int,
    *,
    skew_minutes: int,
    issuer_validity: Validity | None,
    backdated_to: datetime | None = None,
    last_longer: str = NEW_CA,
) -> Validity:
    """Choose notBefore and notAfter of a certificate made at ``now`` (aware UTC).

    notBefore lies ``skew_minutes`` before ``now``, for slow clocks, or at ``backdated_to`` where that is earlier, for
    machines that wake up in 1970, but not before the CA's. notAfter lies
    ``days`` after ``now``. ``issuer_validity`` is None for the CA itself. ``last_longer`` is what to type where the CA
    ends too soon.

    Raises:
        PolicyError: ``days`` is not positive or beyond the calendar, ``now`` is outside the CA's validity, or
            the certificate would outlive its CA; the hint says how many whole days fit.

    """
    moment = whole_seconds(now)
    not_before = min(moment - timedelta(minutes=skew_minutes), backdated_to or moment)
    try:
        not_after = moment + timedelta(days=days)
    except OverflowError:
        not_after = None
    if days < 1 or not_after is None:
        raise PolicyError(f"{days} days is not a possible validity", hint="use a positive number of days")
    if issuer_validity is None:
        return Validity(not_before, not_after)
    _check_lifetime(moment, days, not_after, issuer_validity, last_longer)
    return Validity(max(not_before, issuer_validity.not_before), not_after)


def _check_lifetime(
    moment: datetime, days: int, not_after: datetime, issuer_validity: Validity, last_longer: str
) -> None:
    """Refuse what the CA cannot vouch for (RFC 5280 6.1.3 (a)(2))."""
    if moment < issuer_validity.not_before:
        raise PolicyError("the clock is before the beginning of the CA", hint="set the workstation's clock")
    if not_after <= issuer_validity.not_after:
        return
    fitting = (issuer_validity.not_after - moment).days
    if fitting < 1:
        raise PolicyError("the CA has expired or ends within a day", hint=f"type: {last_longer}")
    raise PolicyError(
        f"a certificate of {days} days would outlive its CA, which has {fitting} whole days left",
        hint=f"use {fitting} days or fewer, or '{last_longer}' for a "
        + ("new CA" if last_longer == NEW_CA else "longer one"),
    )
