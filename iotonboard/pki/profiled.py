"""Certificates of profiles: what was filled in for a device, encoded by the library and judged by the lint."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from iotonboard.pki import der
from iotonboard.pki.certificates import crl_distribution_points
from iotonboard.pki.keys import key_identifier
from iotonboard.pki.lint.candidate import Kind
from iotonboard.pki.linting_key import linting_key
from iotonboard.pki.profile_form import USAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.model import SerialNumber, Validity
    from iotonboard.pki.issuer import Issuer
    from iotonboard.pki.keys import PublicKey
    from iotonboard.pki.profile_values import FilledProfile

_UPN: Final = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")  # [MS-WCCE] 2.2.2.7.7.4, as EAP-TLS servers look for it
_HARDWARE: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4")  # RFC 4108 section 5, hardwareModuleName


def issue_profiled(
    issuer: Issuer, public_key: PublicKey, filled: FilledProfile, serial: SerialNumber, validity: Validity
) -> bytes:
    """Issue an end entity's certificate (DER) with what was filled in, and nothing of any request.

    Raises:
        PolicyError: the root does not permit the subject.
        LintError: a rule was broken; nothing was signed.
    """
    subject = subject_name(filled)
    issuer.check_subject(subject)
    builder = (
        x509.CertificateBuilder()
        .issuer_name(issuer.name)
        .subject_name(subject)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(validity.not_before)
        .not_valid_after(validity.not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(filled), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(key_identifier(public_key)), critical=False)
        .add_extension(issuer.authority_key_id, critical=False)
    )
    if filled.eku:
        purposes = x509.ExtendedKeyUsage(map(x509.ObjectIdentifier, filled.eku))
        builder = builder.add_extension(purposes, critical=filled.eku_is_critical)
    if filled.san:
        names = x509.SubjectAlternativeName([_ALT_NAMES[form](value) for form, value in filled.san])
        builder = builder.add_extension(names, critical=not filled.subject)  # RFC 5280 4.2.1.6
    if filled.crl_url:
        builder = builder.add_extension(crl_distribution_points(filled.crl_url), critical=False)
    for oid, is_critical, value in filled.extensions:
        extra = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
        builder = builder.add_extension(extra, critical=is_critical)
    key = linting_key(issuer.signer, Kind.PROFILED, issuer.facts, filled)
    return builder.sign(key, key.builder_digest).public_bytes(serialization.Encoding.DER)


def subject_name(filled: FilledProfile) -> x509.Name:
    """The subject that was filled in."""
    return x509.Name([x509.NameAttribute(x509.ObjectIdentifier(oid), text) for oid, text in filled.subject])


def _usage(filled: FilledProfile) -> x509.KeyUsage:
    has = {usage: usage in filled.key_usage for usage in USAGES}
    return x509.KeyUsage(
        digital_signature=has["digitalSignature"],
        content_commitment=has["nonRepudiation"],
        key_encipherment=has["keyEncipherment"],
        data_encipherment=has["dataEncipherment"],
        key_agreement=has["keyAgreement"],
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _hardware_module(value: str) -> x509.OtherName:
    """HardwareModuleName ::= SEQUENCE { hwType OBJECT IDENTIFIER, hwSerialNum OCTET STRING } (RFC 4108 section 5)."""
    hardware_type, _, number = value.partition(",")
    return x509.OtherName(_HARDWARE, der.sequence(der.oid(hardware_type), der.octet_string(number.encode("utf-8"))))


_ALT_NAMES: Final[dict[str, Callable[[str], x509.GeneralName]]] = {
    "dns": x509.DNSName,
    "ip": lambda value: x509.IPAddress(ipaddress.ip_address(value)),
    "uri": x509.UniformResourceIdentifier,
    "email": x509.RFC822Name,
    "upn": lambda value: x509.OtherName(_UPN, der.tlv(der.UTF8_STRING, value.encode("utf-8"))),
    "rid": lambda value: x509.RegisteredID(x509.ObjectIdentifier(value)),
    "hardware": _hardware_module,
}
