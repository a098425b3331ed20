"""Rules for certificates of profiles: what was wanted is there and nothing else, and each value is as its clause says.

They read the octets that are to be signed; with what encodes them they share the wanted values alone.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from iotonboard.errors import PolicyError
from iotonboard.model import KeyType
from iotonboard.pki import der
from iotonboard.pki.keys import key_type_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.pki.lint.candidate import CertificateCandidate
    from iotonboard.pki.profile_values import FilledProfile

_CONSTRAINTS, _USAGE, _PURPOSES, _ALT_NAME = (der.oid(f"2.5.29.{arc}") for arc in (19, 15, 37, 17))
_OWN: Final = (_CONSTRAINTS, _USAGE, _PURPOSES, _ALT_NAME, der.oid("2.5.29.14"), der.oid("2.5.29.35"))
_POINTS: Final = der.oid("2.5.29.31")
_USAGE_BITS: Final = (
    "digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement",
)  # fmt: skip
_NEVER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_ANY_PURPOSE: Final = der.oid("2.5.29.37.0")
_CA_BITS: Final = 0b0000_0110  # keyCertSign, cRLSign
_OTHER, _MAIL, _DNS, _URI, _ADDRESS, _REGISTERED = 0xA0, 0x81, 0x82, 0x86, 0x87, 0x88  # RFC 5280 4.2.1.6
_FULL_NAME: Final = 0xA0  # DistributionPointName, RFC 5280 4.2.1.13
_LABEL: Final = rb"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST: Final = re.compile(rb"%b(?:\.%b)*" % (_LABEL, _LABEL))
_SCHEME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]+")
_MAILBOX: Final = re.compile(rb"[\x21-\x3f\x41-\x7e]{1,64}@[A-Za-z0-9.-]+")
_PRINTABLE_ONLY: Final = {der.oid("2.5.4.5"), der.oid("2.5.4.6")}
_MATTER: Final = {der.oid(f"1.3.6.1.4.1.37244.2.{arc}") for arc in (1, 2)}
_PRINTABLE: Final = re.compile(r"[A-Za-z0-9 '()+,./:=?-]+")
_BOUNDS: Final = {
    der.oid(oid): bound
    for oid, bound in (("2.5.4.3", 64), ("2.5.4.5", 64), ("2.5.4.6", 2), ("2.5.4.7", 128), ("2.5.4.8", 128),
                       ("2.5.4.10", 64), ("2.5.4.11", 64))
}  # fmt: skip
_LONGEST: Final = 256


def _wanted(candidate: CertificateCandidate) -> FilledProfile:
    if candidate.profile is None:
        raise PolicyError("no profile was given")
    return candidate.profile


def _octets(candidate: CertificateCandidate, identifier: bytes) -> bytes | None:
    found = candidate.certificate.extensions.get(identifier)
    return None if found is None else found.value


def subject_is_wanted(candidate: CertificateCandidate) -> str | None:
    """The subject is what the profile gives, one attribute a step, in its order (RFC 5280 4.1.2.4)."""
    wanted = tuple((der.oid(oid), text) for oid, text in _wanted(candidate).subject)
    return None if candidate.certificate.subject == wanted else "subject is not that of the profile"


def subject_values_are_legal(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 appendix A.1: each attribute once, not empty, within its bound; serialNumber a PrintableString.

    Matter 1.3 core, 6.2.2: vendor and product are four upper-case hexadecimal digits.
    """
    seen = set()
    for identifier, value in candidate.certificate.subject:
        if identifier in seen or not 1 <= len(value) <= _BOUNDS.get(identifier, _LONGEST) or not value.isprintable():
            return "subject has an attribute twice, empty, too long or not printable"
        if identifier in _PRINTABLE_ONLY and not _PRINTABLE.fullmatch(value):
            return "subject has a serialNumber or country that is no PrintableString"
        if identifier in _MATTER and not re.fullmatch(r"[0-9A-F]{4}", value):
            return "subject has a vendor or product of Matter that is not four hexadecimal digits"
        seen.add(identifier)
    return None


def somebody_is_named(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.1.2.6: with an empty subject there is a subjectAltName, and it is critical."""
    found = candidate.certificate.extensions.get(_ALT_NAME)
    if found is None:
        return None if candidate.certificate.subject else "neither subject nor subjectAltName names anybody"
    is_right = found.critical == (not candidate.certificate.subject)
    return None if is_right else "subjectAltName is critical exactly when the subject is empty"


def profile_extensions_are_exact(candidate: CertificateCandidate) -> str | None:
    """Only what the profile gives, octet for octet, and what every certificate has (RFC 5280 4.2)."""
    wanted, found = _wanted(candidate), candidate.certificate.extensions
    extras = {der.oid(oid): (is_critical, value) for oid, is_critical, value in wanted.extensions}
    if wanted.crl_url:
        full_name = der.tlv(_FULL_NAME, der.tlv(_URI, wanted.crl_url.encode("ascii")))
        extras[_POINTS] = (False, der.sequence(der.sequence(der.explicit(0, full_name))))  # 4.2.1.13
    there = {identifier: (one.critical, one.value) for identifier, one in found.items() if identifier not in _OWN}
    if there != extras:
        return "extensions beyond those of every certificate are not the profile's"
    missing = [name for name in _OWN if name not in found and name not in (_PURPOSES, _ALT_NAME)]
    if missing or (_PURPOSES in found) != bool(wanted.eku) or (_ALT_NAME in found) != bool(wanted.san):
        return "an extension is missing, or is not in the profile"
    return None


def profile_criticality_is_right(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.1 to 4.2.1.12: basicConstraints and keyUsage are critical, key identifiers are not."""
    found = candidate.certificate.extensions
    wanted = {_CONSTRAINTS: True, _USAGE: True, _OWN[4]: False, _OWN[5]: False}
    wanted[_PURPOSES] = _wanted(candidate).eku_is_critical
    wrong = [name for name, critical in wanted.items() if name in found and found[name].critical != critical]
    return "an extension is critical, or not, against its clause" if wrong else None


def is_no_ca(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.9 and 4.2.1.3: neither cA nor keyCertSign nor cRLSign."""
    if _octets(candidate, _CONSTRAINTS) != der.sequence():
        return "basicConstraints are not an end entity's"
    usage = _octets(candidate, _USAGE) or b"\x03\x01\x00"
    return "keyUsage has a bit of a CA" if usage[3:4] and usage[3] & _CA_BITS else None


def key_usage_is_wanted(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.3: at least one bit, those of the profile, in the fewest octets (X.690 11.2.2)."""
    bits = [number for number, usage in enumerate(_USAGE_BITS) if usage in _wanted(candidate).key_usage]
    octet = sum(0x80 >> number for number in bits)
    expected = der.tlv(der.BIT_STRING, bytes((7 - max(bits, default=7), octet)))
    return None if bits and _octets(candidate, _USAGE) == expected else "keyUsage is not that of the profile"


def key_usage_fits_key_type(candidate: CertificateCandidate) -> str | None:
    """RFC 5480 section 3, RFC 4055 section 1.2, RFC 8410 section 5: what a key of this type can do."""
    usage = _octets(candidate, _USAGE) or b"\x03\x01\x00"
    octet = usage[3] if usage[3:4] else 0
    try:
        key_type = key_type_of(candidate.public_key)
    except PolicyError as error:
        return error.message
    encipherment, agreement = octet & 0b0011_0000, octet & 0b0000_1000
    if encipherment and not key_type.startswith("rsa"):
        return "keyUsage has keyEncipherment or dataEncipherment with a key that cannot encrypt"
    if agreement and key_type not in (KeyType.EC_P256, KeyType.EC_P384):
        return "keyUsage has keyAgreement with a key that cannot agree on another"
    return None


def purposes_are_wanted(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.12: those of the profile, in its order; never anyExtendedKeyUsage."""
    wanted = _wanted(candidate).eku
    expected = der.sequence(*map(der.oid, wanted)) if wanted else None
    if _ANY_PURPOSE in map(der.oid, wanted):
        return "extKeyUsage has anyExtendedKeyUsage"
    return None if _octets(candidate, _PURPOSES) == expected else "extKeyUsage is not that of the profile"


def alt_names_are_wanted(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.6: the names of the profile, each in the form of its kind, in their order."""
    wanted = _wanted(candidate).san
    expected = der.sequence(*(_FORMS[form](value) for form, value in wanted)) if wanted else None
    return None if _octets(candidate, _ALT_NAME) == expected else "subjectAltName is not that of the profile"


def alt_names_are_well_formed(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.2.1.6, RFC 9525 6.3: hosts in the preferred syntax and without wildcards, absolute URIs, mailboxes.

    RFC 5890 2.3.2.1: a label with the prefix of international ones is Punycode of a name that is not ASCII.
    """
    value = _octets(candidate, _ALT_NAME)
    for name in [] if value is None else der.children(value, der.whole(value)):
        content = value[name.begin : name.end] if value else b""
        if name.tag == _DNS and not (_HOST.fullmatch(content) and len(content) <= 253 and _is_international(content)):
            return "subjectAltName has a dNSName that is no host name in its ASCII form"
        if name.tag == _ADDRESS and len(content) not in (4, 16):
            return "subjectAltName has an iPAddress of neither 4 nor 16 octets"
        if name.tag == _URI and not _SCHEME.fullmatch(content):
            return "subjectAltName has a URI that is not absolute, or not in ASCII"
        if name.tag == _MAIL and not _MAILBOX.fullmatch(content):
            return "subjectAltName has an rfc822Name that is no mailbox"
        if name.tag not in (_OTHER, _MAIL, _DNS, _URI, _ADDRESS, _REGISTERED):
            return "subjectAltName has a name of a form that is not issued"
    return None


def _is_international(host: bytes) -> bool:
    """Say whether the labels that claim to be international are."""
    try:
        return not any(label[4:].decode("punycode").isascii() for label in host.split(b".") if label[:4] == b"xn--")
    except (UnicodeError, ValueError):
        return False


def ends_as_wanted(candidate: CertificateCandidate) -> str | None:
    """RFC 5280 4.1.2.5: 99991231235959Z where the profile says so, else inside the CA's validity (6.1.3 (a)(2))."""
    certificate, allowed = candidate.certificate, candidate.issuer.validity
    if certificate.not_before < allowed.not_before:
        return "validity begins before the CA's"
    if _wanted(candidate).ends_never:
        return None if certificate.not_after == _NEVER else "notAfter is not 99991231235959Z"
    return None if certificate.not_after <= allowed.not_after else "validity is not inside the CA's"


def _other_name(identifier: str, value: bytes) -> bytes:
    return der.tlv(_OTHER, der.oid(identifier) + der.explicit(0, value))


def _hardware(text: str) -> bytes:
    """RFC 4108 section 5."""
    kind, _, number = text.partition(",")
    return _other_name("1.3.6.1.5.5.7.8.4", der.sequence(der.oid(kind), der.octet_string(number.encode("utf-8"))))


_FORMS: Final[dict[str, Callable[[str], bytes]]] = {
    "dns": lambda text: der.tlv(_DNS, text.encode("ascii")),
    "ip": lambda text: der.tlv(_ADDRESS, ipaddress.ip_address(text).packed),
    "uri": lambda text: der.tlv(_URI, text.encode("ascii")),
    "email": lambda text: der.tlv(_MAIL, text.encode("ascii")),
    "upn": lambda text: _other_name("1.3.6.1.4.1.311.20.2.3", der.tlv(der.UTF8_STRING, text.encode("utf-8"))),
    "rid": lambda text: der.tlv(_REGISTERED, der.oid(text)[2:]),
    "hardware": _hardware,
}


RULES: Final = (
    subject_is_wanted,
    subject_values_are_legal,
    somebody_is_named,
    profile_extensions_are_exact,
    profile_criticality_is_right,
    is_no_ca,
    key_usage_is_wanted,
    key_usage_fits_key_type,
    purposes_are_wanted,
    alt_names_are_wanted,
    alt_names_are_well_formed,
    ends_as_wanted,
)
