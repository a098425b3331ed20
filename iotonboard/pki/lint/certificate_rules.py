"""What a certificate must be: one function per rule, each with its clause; ``None`` means that it holds.

A rule sees one ``CertificateCandidate`` and returns what is wrong in a few words. ``lint.LINTS`` says which
rules apply to which kind.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final, cast

from iotonboard.errors import PolicyError
from iotonboard.model import DeviceId, KeyType
from iotonboard.pki import der
from iotonboard.pki.keys import PublicKey, key_type_of
from iotonboard.pki.lint.candidate import Kind
from iotonboard.pki.lint.names import BOUNDS, COMMON_NAME
from iotonboard.pki.lint.weak_keys import check_public_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iotonboard.pki.lint.candidate import CertificateCandidate
    from iotonboard.pki.lint.reader import EncodedTime

_V3: Final = b"\x02\x01\x02"
_MAX_SERIAL_OCTETS: Final = 20
_MIN_SERIAL_OCTETS: Final = 8
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME_FORMS: Final = {
    der.UTC_TIME: rb"[0-9]{12}Z",
    der.GENERALIZED_TIME: rb"20[5-9][0-9]{11}Z|2[1-9][0-9]{12}Z|[3-9][0-9]{13}Z",
}

_BASIC_CONSTRAINTS: Final = der.oid("2.5.29.19")
_KEY_USAGE: Final = der.oid("2.5.29.15")
_EXTENDED_KEY_USAGE: Final = der.oid("2.5.29.37")
_SUBJECT_KEY_ID: Final = der.oid("2.5.29.14")
_AUTHORITY_KEY_ID: Final = der.oid("2.5.29.35")
_ALT_NAME: Final = der.oid("2.5.29.17")
_NAME_CONSTRAINTS: Final = der.oid("2.5.29.30")
_POINTS: Final = der.oid("2.5.29.31")
_NAMES: Final = {
    _BASIC_CONSTRAINTS: "basicConstraints",
    _KEY_USAGE: "keyUsage",
    _EXTENDED_KEY_USAGE: "extKeyUsage",
    _SUBJECT_KEY_ID: "subjectKeyIdentifier",
    _AUTHORITY_KEY_ID: "authorityKeyIdentifier",
    _ALT_NAME: "subjectAltName",
    _NAME_CONSTRAINTS: "nameConstraints",
    _POINTS: "cRLDistributionPoints",
}
# Extension -> must it be critical.
_REQUIRED: Final[dict[Kind, dict[bytes, bool]]] = {
    Kind.CA: {_BASIC_CONSTRAINTS: True, _KEY_USAGE: True, _SUBJECT_KEY_ID: False},
    Kind.DEVICE: {
        _BASIC_CONSTRAINTS: True,
        _KEY_USAGE: True,
        _EXTENDED_KEY_USAGE: False,
        _SUBJECT_KEY_ID: False,
        _AUTHORITY_KEY_ID: False,
    },
}
_REQUIRED[Kind.SERVER] = _REQUIRED[Kind.DEVICE]
_REQUIRED[Kind.ROOT] = _REQUIRED[Kind.CA]
_REQUIRED[Kind.STATION] = {**_REQUIRED[Kind.CA], _AUTHORITY_KEY_ID: False}
_OPTIONAL: Final = {
    Kind.CA: {_AUTHORITY_KEY_ID},
    Kind.ROOT: {_AUTHORITY_KEY_ID},
    Kind.STATION: {_NAME_CONSTRAINTS},
    Kind.DEVICE: {_ALT_NAME, _POINTS},
    Kind.SERVER: {_ALT_NAME},
}
_SELF_SIGNED: Final = frozenset({Kind.CA, Kind.ROOT})
# The AlgorithmIdentifier that goes with the CA's key (RFC 4055 section 5, RFC 5758 3.2, RFC 8410 section 3).
_SHA256_RSA: Final = bytes.fromhex("300d06092a864886f70d01010b0500")
ALGORITHM_OF: Final = {
    KeyType.EC_P256: bytes.fromhex("300a06082a8648ce3d040302"),
    KeyType.EC_P384: bytes.fromhex("300a06082a8648ce3d040303"),
    KeyType.RSA_2048: _SHA256_RSA,
    KeyType.RSA_3072: _SHA256_RSA,
    KeyType.RSA_4096: _SHA256_RSA,
    KeyType.ED25519: bytes.fromhex("300506032b6570"),
}
# The values themselves as DER, written out: the rules share nothing with what encodes a certificate.
_CONSTRAINTS_OF: Final = {
    Kind.CA: bytes.fromhex("30060101ff020100"),  # cA TRUE, pathLenConstraint 0
    Kind.ROOT: bytes.fromhex("30060101ff020101"),  # cA TRUE, pathLenConstraint 1
    Kind.STATION: bytes.fromhex("30060101ff020100"),
    Kind.DEVICE: bytes.fromhex("3000"),
    Kind.SERVER: bytes.fromhex("3000"),
}
_USAGE_OF: Final = {
    Kind.CA: bytes.fromhex("03020106"),  # keyCertSign, cRLSign
    Kind.ROOT: bytes.fromhex("03020106"),
    Kind.STATION: bytes.fromhex("03020106"),
    Kind.DEVICE: bytes.fromhex("03020780"),  # digitalSignature
    Kind.SERVER: bytes.fromhex("03020780"),
}
_PURPOSE_OF: Final = {
    Kind.DEVICE: bytes.fromhex("300a06082b06010505070302"),  # id-kp-clientAuth
    Kind.SERVER: bytes.fromhex("300a06082b06010505070301"),  # id-kp-serverAuth
}
_URI_TAG, _DNS_TAG, _ADDRESS_TAG = 0x86, 0x82, 0x87  # GeneralName, RFC 5280 4.2.1.6
_KEY_IDENTIFIER_TAG: Final = 0x80  # RFC 5280 4.2.1.1
_ADDRESS_OCTETS: Final = (4, 16)
_FETCHED_FROM: Final = re.compile(rb"(?:http|ldap)://[!-~]+")


def _urn_of(device_id: str) -> str | None:
    """Write the URN of a device id that is a UUID (RFC 4122 section 3: lower case); None for any other id."""
    lower = device_id.lower()
    return f"urn:uuid:{lower}" if _UUID.fullmatch(lower) else None


def _value(candidate: CertificateCandidate, identifier: bytes) -> bytes | None:
    found = candidate.certificate.extensions.get(identifier)
    return None if found is None else found.value


@lru_cache(maxsize=8)  # the certificates of a batch share their times
def time_problem(time: EncodedTime) -> str | None:
    """Say what is wrong with the form of a Time (RFC 5280 4.1.2.5: UTCTime until 2049, seconds, Z)."""
    form = _TIME_FORMS.get(time.tag)
    fits = form is not None and re.fullmatch(form, time.content)
    return None if fits else "is not a UTCTime until 2049 or a GeneralizedTime from 2050"


def version_is_3(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.1.2.1: version MUST be 3 when extensions are used."""
    return None if candidate.certificate.version == _V3 else "version is not 3"


def serial_is_positive(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.1.2.2: the serial number MUST be a positive integer."""
    return None if int.from_bytes(candidate.certificate.serial, signed=True) > 0 else "serial number is not positive"


def serial_fits_20_octets(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.1.2.2: serial numbers MUST NOT be longer than 20 octets."""
    return None if len(candidate.certificate.serial) <= _MAX_SERIAL_OCTETS else "serial number is longer than 20 octets"


def serial_has_64_bits(candidate: CertificateCandidate) -> str | None:
    """Refuse guessable serials (CA/Browser Forum BR 7.1 asks for 64 bits from a CSPRNG)."""
    return None if len(candidate.certificate.serial) >= _MIN_SERIAL_OCTETS else "serial number is shorter than 64 bits"


def algorithm_fits_issuer(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.1.2.3: the algorithm is the one that goes with the CA's key, parameters included."""
    fits = candidate.certificate.signature_algorithm == ALGORITHM_OF[candidate.issuer.key_type]
    return None if fits else "signature algorithm does not belong to the CA's key"


def issuer_is_ca_subject(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 6.1.3 (a)(4): the issuer is the CA's subject, here octet for octet."""
    holds = candidate.certificate.issuer_der == candidate.issuer.subject_der
    return None if holds else "issuer is not the CA's subject"


def times_are_well_formed(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050, whole seconds, Z."""
    for name, time in zip(("notBefore", "notAfter"), candidate.certificate.times, strict=True):
        if problem := time_problem(time):
            return f"{name} {problem}"
    return None


def validity_is_ordered(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.1.2.5: the validity period runs from notBefore through notAfter."""
    holds = candidate.certificate.not_before < candidate.certificate.not_after
    return None if holds else "notAfter is not after notBefore"


def validity_is_inside_issuers(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 6.1.3 (a)(2): the path is valid only while every certificate in it is."""
    allowed = candidate.issuer.validity
    inside = (
        allowed.not_before <= candidate.certificate.not_before and candidate.certificate.not_after <= allowed.not_after
    )
    return None if inside else "validity is not inside the CA's"


def ca_is_self_issued(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 3.2: in a self-signed certificate, subject and issuer are the same."""
    holds = candidate.certificate.subject_der == candidate.certificate.issuer_der
    return None if holds else "subject and issuer of the CA differ"


def subject_attributes_are_legal(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 appendix A.1: known attributes, each once, within their upper bounds and not empty."""
    seen = set()
    for identifier, value in candidate.certificate.subject:
        bound = BOUNDS.get(identifier)
        if bound is None or identifier in seen:
            return "subject has an unknown or a repeated attribute"
        if not 1 <= len(value) <= bound:
            return "subject has an empty attribute or one over its upper bound"
        seen.add(identifier)
    return None


def _common_name(candidate: CertificateCandidate) -> str | None:
    found = [value for identifier, value in candidate.certificate.subject if identifier == COMMON_NAME]
    return found[0] if len(found) == 1 else None


def subject_has_common_name(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.1.2.6: a CA's subject MUST NOT be empty; a device is known by its one commonName."""
    return "subject does not have exactly one commonName" if _common_name(candidate) is None else None


def common_name_is_device_id(candidate: CertificateCandidate) -> str | None:
    """Require a DeviceId: a broker takes it as user name, topic level and ACL token."""
    try:
        DeviceId.adopted(_common_name(candidate) or "")
    except PolicyError:
        return "commonName is not a device id"
    return None


def extensions_are_exact(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2: only the extensions of the profile, all of those that it requires."""
    required, found = _REQUIRED[candidate.kind], candidate.certificate.extensions.keys()
    if missing := required.keys() - found:
        return "extension is missing: " + _listed(missing)
    if excess := found - required.keys() - _OPTIONAL[candidate.kind]:
        return "extension is not in the profile: " + _listed(excess)
    return None


def _listed(identifiers: Iterable[bytes]) -> str:
    return ", ".join(sorted(_NAMES.get(identifier, identifier.hex()) for identifier in identifiers))


def criticality_is_right(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1: each extension critical or not as its section says."""
    required = _REQUIRED[candidate.kind]
    for identifier, extension in candidate.certificate.extensions.items():
        expected = required.get(identifier, identifier == _NAME_CONSTRAINTS)  # 4.2.1.10: critical
        if identifier == _ALT_NAME:
            expected = not candidate.certificate.subject  # 4.2.1.6: critical if and only if the subject is empty
        if extension.critical != expected:
            return f"extension {_listed([identifier])} must {'' if expected else 'not '}be critical"
    return None


def basic_constraints_fit(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.9: cA with pathLenConstraint 0 for a CA, 1 for a root, neither for an end entity."""
    fits = _value(candidate, _BASIC_CONSTRAINTS) == _CONSTRAINTS_OF[candidate.kind]
    return None if fits else "basicConstraints does not fit the profile"


def key_usage_fits(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.3: keyCertSign and cRLSign for the CA, digitalSignature alone for an end entity."""
    fits = _value(candidate, _KEY_USAGE) == _USAGE_OF[candidate.kind]
    return None if fits else "keyUsage does not fit the profile"


def extended_key_usage_fits(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.12: clientAuth alone for a device, serverAuth alone for a broker."""
    fits = _value(candidate, _EXTENDED_KEY_USAGE) == _PURPOSE_OF[candidate.kind]
    return None if fits else "extKeyUsage does not fit the profile"


def subject_key_id_is_hash(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.2 with RFC 7093 section 2 method 1: derived from the public key."""
    spki_der = candidate.certificate.spki_der
    *_, key = der.children(spki_der, der.whole(spki_der))
    # The first octet of a BIT STRING counts unused bits; it is not part of the value.
    expected = der.octet_string(sha256(spki_der[key.begin + 1 : key.end]).digest()[:20])
    fits = _value(candidate, _SUBJECT_KEY_ID) == expected
    return None if fits else "subjectKeyIdentifier is not the hash of the public key"


def authority_key_id_is_issuers(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.1: keyIdentifier equal to the CA's subjectKeyIdentifier, and no other field."""
    found = _value(candidate, _AUTHORITY_KEY_ID)
    if found is None and candidate.kind in _SELF_SIGNED:
        return None  # 4.2.1.1: may be omitted when self-signed
    expected = der.sequence(der.tlv(_KEY_IDENTIFIER_TAG, candidate.issuer.key_id))
    return None if found == expected else "authorityKeyIdentifier is not the CA's key identifier"


def device_alt_name_is_urn(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.6: the URN when the id is a UUID (RFC 4122), and no other name."""
    urn = _urn_of(_common_name(candidate) or "")
    expected = None if urn is None else der.sequence(der.tlv(_URI_TAG, urn.encode("ascii")))
    return None if _value(candidate, _ALT_NAME) == expected else "subjectAltName does not belong to the device id"


def distribution_point_is_one_url(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.13: where it is there, one point by one http or ldap URL, for all reasons and of the same CA."""
    value = _value(candidate, _POINTS)
    if value is None:
        return None
    for tag in (0x30, 0x30, 0xA0, 0xA0, _URI_TAG):  # one in the other, and nothing beside
        try:
            value = value[der.whole(value, tag).begin :]
        except PolicyError:
            return "cRLDistributionPoints is not one point with one URL"
    fits = _FETCHED_FROM.fullmatch(value)
    return None if fits else "cRLDistributionPoints has a URL that is neither http nor ldap, or not in ASCII"


def server_alt_names_are_hosts(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.6, RFC 9525 6.1: at least one dNSName or iPAddress, no other; the commonName is one."""
    value = _value(candidate, _ALT_NAME) or der.sequence()
    try:
        names = {_host(value, name) for name in der.children(value, der.whole(value))}
    except (PolicyError, ValueError):
        return "subjectAltName holds something else than host names and addresses"
    if not names:
        return "subjectAltName is missing"
    common_name = _common_name(candidate)
    return None if common_name is None or common_name in names else "commonName is not among the subjectAltNames"


def _host(octets: bytes, name: der.Element) -> str:
    content = octets[name.begin : name.end]
    if name.tag == _DNS_TAG and content:
        return content.decode("ascii")
    if name.tag == _ADDRESS_TAG and len(content) in _ADDRESS_OCTETS:
        return str(ipaddress.ip_address(content))
    raise PolicyError("neither a host name nor an address")


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
