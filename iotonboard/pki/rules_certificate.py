"""What a certificate must be: one function per rule, each with its clause; ``None`` means that it holds.

A rule sees one ``CertificateCandidate`` and returns what is wrong in a few words. ``lint.LINTS`` says which
rules apply to which kind.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from iotonboard.errors import PolicyError
from iotonboard.model import DeviceId
from iotonboard.pki import der
from iotonboard.pki.candidate import Kind
from iotonboard.pki.keys import PublicKey, key_identifier, key_type_of
from iotonboard.pki.profiles import ATTRIBUTES
from iotonboard.pki.weakkeys import check_public_key

if TYPE_CHECKING:
    from cryptography.x509.oid import ObjectIdentifier

    from iotonboard.pki.candidate import CertificateCandidate, EncodedTime

_V3: Final = b"\x02\x01\x02"
_MAX_SERIAL_OCTETS: Final = 20
_MIN_SERIAL_OCTETS: Final = 8
_BOUNDS: Final = dict(ATTRIBUTES.values())
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME_FORMS: Final = {
    der.UTC_TIME: re.compile(rb"[0-9]{12}Z"),
    der.GENERALIZED_TIME: re.compile(rb"20[5-9][0-9]{11}Z|2[1-9][0-9]{12}Z|[3-9][0-9]{13}Z"),
}
# Extension -> must it be critical.
_REQUIRED: Final[dict[Kind, dict[ObjectIdentifier, bool]]] = {
    Kind.CA: {
        ExtensionOID.BASIC_CONSTRAINTS: True,
        ExtensionOID.KEY_USAGE: True,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER: False,
    },
    Kind.DEVICE: {
        ExtensionOID.BASIC_CONSTRAINTS: True,
        ExtensionOID.KEY_USAGE: True,
        ExtensionOID.EXTENDED_KEY_USAGE: False,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER: False,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER: False,
    },
}
_REQUIRED[Kind.SERVER] = _REQUIRED[Kind.DEVICE]
_KEY_USAGE: Final = {
    Kind.CA: x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    ),
    Kind.DEVICE: x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    ),
}
_KEY_USAGE[Kind.SERVER] = _KEY_USAGE[Kind.DEVICE]
_PURPOSE: Final = {
    Kind.DEVICE: x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]),
    Kind.SERVER: x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
}


def urn_of(device_id: str) -> str | None:
    """Write the URN of a device id that is a UUID (RFC 4122 section 3: lower case); None for any other id."""
    lower = device_id.lower()
    return f"urn:uuid:{lower}" if _UUID.fullmatch(lower) else None


def _value(candidate: CertificateCandidate, object_identifier: ObjectIdentifier) -> x509.ExtensionType | None:
    found = candidate.extensions.get(object_identifier)
    return None if found is None else found.value


def time_problem(time: EncodedTime) -> str | None:
    """Say what is wrong with the form of a Time (RFC 5280 4.1.2.5: UTCTime until 2049, seconds, Z)."""
    form = _TIME_FORMS.get(time.tag)
    return (
        None if form and form.fullmatch(time.content) else "is not a UTCTime until 2049 or a GeneralizedTime from 2050"
    )


def version_is_3(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.1.2.1: version MUST be 3 when extensions are used."""
    return None if candidate.version == _V3 else "version is not 3"


def serial_is_positive(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.1.2.2: the serial number MUST be a positive integer."""
    return None if int.from_bytes(candidate.serial, signed=True) > 0 else "serial number is not positive"


def serial_fits_20_octets(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.1.2.2: serial numbers MUST NOT be longer than 20 octets."""
    return None if len(candidate.serial) <= _MAX_SERIAL_OCTETS else "serial number is longer than 20 octets"


def serial_has_64_bits(candidate: CertificateCandidate) -> str | None:
    """Refuse guessable serials (CA/Browser Forum BR 7.1 asks for 64 bits from a CSPRNG)."""
    return None if len(candidate.serial) >= _MIN_SERIAL_OCTETS else "serial number is shorter than 64 bits"


def algorithms_agree(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.1.1.2: signatureAlgorithm MUST be the same as signature in the TBSCertificate."""
    return None if candidate.inner_algorithm == candidate.outer_algorithm else "signature algorithms differ"


def algorithm_fits_issuer(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.1.2.3: the algorithm is the one that goes with the CA's key, parameters included."""
    fits = candidate.inner_algorithm == candidate.issuer.signature_algorithm
    return None if fits else "signature algorithm does not belong to the CA's key"


def issuer_is_ca_subject(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 6.1.3 (a)(4): the issuer is the CA's subject, here octet for octet."""
    return None if candidate.issuer_der == candidate.issuer.subject_der else "issuer is not the CA's subject"


def times_are_well_formed(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050, whole seconds, Z."""
    for name, time in zip(("notBefore", "notAfter"), candidate.times, strict=True):
        if problem := time_problem(time):
            return f"{name} {problem}"
    return None


def validity_is_ordered(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.1.2.5: the validity period runs from notBefore through notAfter."""
    return None if candidate.not_before < candidate.not_after else "notAfter is not after notBefore"


def validity_is_inside_issuers(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 6.1.3 (a)(2): the path is valid only while every certificate in it is."""
    allowed = candidate.issuer.validity
    inside = allowed.not_before <= candidate.not_before and candidate.not_after <= allowed.not_after
    return None if inside else "validity is not inside the CA's"


def ca_is_self_issued(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 3.2: in a self-signed certificate, subject and issuer are the same."""
    return None if candidate.subject_der == candidate.issuer_der else "subject and issuer of the CA differ"


def subject_attributes_are_legal(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 appendix A.1: known attributes, each once, within their upper bounds and not empty."""
    seen = set()
    for attribute in candidate.subject:
        bound = _BOUNDS.get(attribute.oid)
        if bound is None or attribute.oid in seen:
            return "subject has an unknown or a repeated attribute"
        if not 1 <= len(attribute.value) <= bound:
            return "subject has an empty attribute or one over its upper bound"
        seen.add(attribute.oid)
    return None


def _common_name(candidate: CertificateCandidate) -> str | None:
    found = candidate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if len(found) == 1 else None


def subject_has_common_name(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.1.2.6: a CA's subject MUST NOT be empty; a device is known by its one commonName."""
    return "subject does not have exactly one commonName" if _common_name(candidate) is None else None


def common_name_is_device_id(candidate: CertificateCandidate) -> str | None:
    """Require a DeviceId: a broker takes it as user name, topic level and ACL token."""
    try:
        DeviceId(_common_name(candidate) or "")
    except PolicyError:
        return "commonName is not a device id"
    return None


def extensions_are_exact(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2: only the extensions of the profile, all of those that it requires."""
    required, found = _REQUIRED[candidate.kind], candidate.extensions.keys()
    optional = (
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER if candidate.kind is Kind.CA else ExtensionOID.SUBJECT_ALTERNATIVE_NAME
    )
    if missing := required.keys() - found:
        return "extension is missing: " + ", ".join(sorted(oid.dotted_string for oid in missing))
    if excess := found - required.keys() - {optional}:
        return "extension is not in the profile: " + ", ".join(sorted(oid.dotted_string for oid in excess))
    return None


def criticality_is_right(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1: each extension critical or not as its section says."""
    required = _REQUIRED[candidate.kind]
    for object_identifier, extension in candidate.extensions.items():
        expected = required.get(object_identifier, False)
        if object_identifier == ExtensionOID.SUBJECT_ALTERNATIVE_NAME:
            expected = not candidate.subject  # 4.2.1.6: critical if and only if the subject is empty
        if extension.critical != expected:
            return f"extension {object_identifier.dotted_string} must {'' if expected else 'not '}be critical"
    return None


def basic_constraints_fit(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.9: cA and pathLenConstraint 0 for the CA, neither for an end entity."""
    is_ca = candidate.kind is Kind.CA
    expected = x509.BasicConstraints(ca=is_ca, path_length=0 if is_ca else None)
    found = _value(candidate, ExtensionOID.BASIC_CONSTRAINTS)
    return None if found == expected else "basicConstraints does not fit the profile"


def key_usage_fits(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.3: keyCertSign and cRLSign for the CA, digitalSignature alone for an end entity."""
    found = _value(candidate, ExtensionOID.KEY_USAGE)
    return None if found == _KEY_USAGE[candidate.kind] else "keyUsage does not fit the profile"


def extended_key_usage_fits(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.12: clientAuth alone for a device, serverAuth alone for a broker."""
    found = _value(candidate, ExtensionOID.EXTENDED_KEY_USAGE)
    return None if found == _PURPOSE[candidate.kind] else "extKeyUsage does not fit the profile"


def subject_key_id_is_hash(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.2 with RFC 7093 section 2 method 1: derived from the public key."""
    found = _value(candidate, ExtensionOID.SUBJECT_KEY_IDENTIFIER)
    fits = isinstance(found, x509.SubjectKeyIdentifier) and found.digest == key_identifier(candidate.spki_der)
    return None if fits else "subjectKeyIdentifier is not the hash of the public key"


def authority_key_id_is_issuers(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.1: keyIdentifier equal to the CA's subjectKeyIdentifier, and no other field."""
    found = _value(candidate, ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
    if found is None and candidate.kind is Kind.CA:
        return None  # 4.2.1.1: may be omitted when self-signed
    fits = found == x509.AuthorityKeyIdentifier(candidate.issuer.key_id, None, None)
    return None if fits else "authorityKeyIdentifier is not the CA's key identifier"


def device_alt_name_is_urn(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.6: the URN when the id is a UUID (RFC 4122), and no other name."""
    urn = urn_of(_common_name(candidate) or "")
    expected = None if urn is None else x509.SubjectAlternativeName([x509.UniformResourceIdentifier(urn)])
    found = _value(candidate, ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    return None if found == expected else "subjectAltName does not belong to the device id"


def server_alt_names_are_hosts(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.6, RFC 9525 6.1: at least one dNSName or iPAddress, no other; the commonName is one."""
    found = _value(candidate, ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    if not isinstance(found, x509.SubjectAlternativeName) or not list(found):
        return "subjectAltName is missing"
    if not all(isinstance(name, x509.DNSName | x509.IPAddress) for name in found):
        return "subjectAltName holds something else than host names and addresses"
    common_name = _common_name(candidate)
    if common_name is not None and common_name not in {str(name.value) for name in found}:
        return "commonName is not among the subjectAltNames"
    return None


def key_is_supported(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.1.2.7: one of the key types and sizes that are issued, on a named curve."""
    try:
        key_type_of(candidate.public_key)
    except PolicyError as error:
        return error.message
    return None


def key_is_not_weak(candidate: CertificateCandidate) -> str | None:
    """Refuse keys whose weakness shows in the public half (CA/Browser Forum BR 6.1.1.3).

    An EC key costs nothing here, an RSA key about 0.3 ms, little beside the making of one.
    """
    try:
        check_public_key(cast("PublicKey", candidate.public_key))
    except PolicyError as error:
        return error.message
    return None
