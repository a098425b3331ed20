"""Certificate revocation lists (RFC 5280 section 5), assembled from entries that are encoded already.

A list of a million entries is joined once, linted, hashed and signed; no object is made per entry. The library's
builder, which encodes certificates, copies the whole list for each entry that is added: it would take minutes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Final, cast

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

from iotonboard.errors import KeyUnavailableError, PolicyError
from iotonboard.model import RevocationReason, SerialNumber
from iotonboard.pki import der
from iotonboard.pki.linting_key import sign_crl_tbs
from iotonboard.pki.parse_errors import UNREADABLE
from iotonboard.pki.signatures import signature_algorithm, verify_tbs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from iotonboard.pki.issuer import Issuer

_VERSION_2: Final = der.integer(1)
_AUTHORITY_KEY_IDENTIFIER: Final = der.oid("2.5.29.35")
_CRL_NUMBER: Final = der.oid("2.5.29.20")
_ISSUING_DISTRIBUTION_POINT: Final = der.oid("2.5.29.28")
_FULL_NAME: Final = 0xA0  # DistributionPointName ::= CHOICE { fullName [0] GeneralNames, ... }
_URI: Final = 0x86  # GeneralName
_TRUE: Final = b"\x01\x01\xff"
_KEY_IDENTIFIER_TAG: Final = 0x80  # AuthorityKeyIdentifier ::= SEQUENCE { keyIdentifier [0] IMPLICIT ... }
_REASONS: Final = {reason.value: reason for reason in RevocationReason}
_NEXT: Final = "make a new CRL with 'iotonboard gen-crl'"


@dataclass(frozen=True, slots=True)
class CrlFacts:
    """What a CRL says about itself. ``count`` is the number of revoked certificates."""

    number: int
    this_update: datetime
    next_update: datetime
    issuer_der: bytes
    count: int


@dataclass(frozen=True, slots=True)
class SignedCrl:
    """A CRL (DER) whose signature was verified, and what the lint read in it before it was signed."""

    der: bytes = field(repr=False)
    facts: CrlFacts


def sign_crl(
    issuer: Issuer,
    *,
    number: int,
    this_update: datetime,
    next_update: datetime,
    entries: Iterable[bytes],
    crl_url: str = "",
) -> SignedCrl:
    """Sign a complete v2 CRL with authorityKeyIdentifier and cRLNumber, neither critical.

    With ``crl_url`` it is one that is fetched there, and says so in a critical issuingDistributionPoint.

    ``entries`` are revokedCertificates as ``crl_entry.encode_entry`` writes them; without any, the list
    is left out (RFC 5280 5.1.2.6). Times are aware UTC.

    Raises:
        LintError: a rule was broken; nothing was signed.
        KeyUnavailableError: the signature does not verify.

    """
    public_key = issuer.signer.public_key()
    algorithm = signature_algorithm(public_key)
    head = algorithm + issuer.subject_der + der.x509_time(this_update) + der.x509_time(next_update)
    tbs = _tbs_cert_list(head, entries, _extensions(issuer.key_id, number, crl_url))
    signature, candidate = sign_crl_tbs(issuer.signer, tbs, issuer.facts, crl_url)
    if not verify_tbs(public_key, algorithm, signature, tbs):
        raise KeyUnavailableError("the CA key made a wrong signature", hint="check the disk or token that holds it")
    facts = _facts(candidate.crl, candidate.issuer_der)
    bit_string = der.bit_string(signature)
    # One join: a CRL can be 50 MB.
    size = len(tbs) + len(algorithm) + len(bit_string)
    return SignedCrl(b"".join((der.header(der.SEQUENCE, size), tbs, algorithm, bit_string)), facts)


def _tbs_cert_list(head: bytes, entries: Iterable[bytes], extensions: bytes) -> bytes:
    """Assemble TBSCertList (RFC 5280 5.1.2) around the entries, which are copied twice and never listed."""
    revoked = BytesIO()
    revoked.writelines(entries)
    with revoked.getbuffer() as body:
        list_header = der.header(der.SEQUENCE, len(body)) if len(body) else b""
        size = len(_VERSION_2) + len(head) + len(list_header) + len(body) + len(extensions)
        return b"".join((der.header(der.SEQUENCE, size), _VERSION_2, head, list_header, body, extensions))


def _extensions(key_id: bytes, number: int, crl_url: str) -> bytes:
    """Encode crlExtensions ``[0] EXPLICIT`` (RFC 5280 5.2.1, 5.2.3, 5.2.5)."""
    authority = der.sequence(der.tlv(_KEY_IDENTIFIER_TAG, key_id))
    extensions = [
        der.sequence(_AUTHORITY_KEY_IDENTIFIER, der.octet_string(authority)),
        der.sequence(_CRL_NUMBER, der.octet_string(der.integer(number))),
    ]
    if crl_url:
        name = der.explicit(0, der.tlv(_FULL_NAME, der.tlv(_URI, crl_url.encode("ascii"))))
        extensions.append(der.sequence(_ISSUING_DISTRIBUTION_POINT, _TRUE, der.octet_string(der.sequence(name))))
    return der.explicit(0, der.sequence(*extensions))


def _verify(crl_der: bytes, public_key: object) -> bool:
    """Verify over the octets as they are: the library would encode a large list again, for a second."""
    tbs, algorithm, signature = der.children(crl_der, der.whole(crl_der))
    return verify_tbs(
        public_key,
        crl_der[algorithm.start : algorithm.end],
        crl_der[signature.begin + 1 : signature.end],
        cast("bytes", memoryview(crl_der)[tbs.start : tbs.end]),  # any buffer will do, and a copy would be 50 MB
    )


def _load(crl_der: bytes) -> x509.CertificateRevocationList:
    try:
        return x509.load_der_x509_crl(crl_der)
    except UNREADABLE as error:
        raise PolicyError("this is not a CRL that can be read", hint=_NEXT) from error


def _number(crl: x509.CertificateRevocationList) -> int:
    try:
        value = crl.extensions.get_extension_for_oid(ExtensionOID.CRL_NUMBER).value
    except (x509.ExtensionNotFound, *UNREADABLE) as error:
        raise PolicyError("the CRL has no readable cRLNumber", hint=_NEXT) from error
    if not isinstance(value, x509.CRLNumber):
        raise PolicyError("the CRL has no readable cRLNumber", hint=_NEXT)
    return value.crl_number


def crl_facts(crl_der: bytes) -> CrlFacts:
    """Read number, times, issuer and count of a CRL. The signature is not verified.

    Raises:
        PolicyError: it is not a CRL, or lacks nextUpdate or cRLNumber.

    """
    return _facts(_load(crl_der), _issuer_der(crl_der))


def signer_cn(crl_der: bytes) -> str:
    """The commonName of the CA that a CRL says it is of; empty where it has none, or the CRL cannot be read."""
    try:
        names = _load(crl_der).issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    except (PolicyError, *UNREADABLE):
        return ""
    return str(names[-1].value) if names else ""


def any_crl_facts(crl_der: bytes) -> CrlFacts:
    """As ``crl_facts``, of a list that another program may have signed; without a number it has number 0.

    Raises:
        PolicyError: it is not a CRL, or lacks nextUpdate.

    """
    crl = _load(crl_der)
    try:
        has_number = any(extension.oid == ExtensionOID.CRL_NUMBER for extension in crl.extensions)
    except UNREADABLE as error:
        raise PolicyError("this is not a CRL that can be read", hint=_NEXT) from error
    return _facts(crl, _issuer_der(crl_der), number=None if has_number else 0)


def _facts(crl: x509.CertificateRevocationList, issuer_der: bytes, *, number: int | None = None) -> CrlFacts:
    if crl.next_update_utc is None:
        raise PolicyError("the CRL has no nextUpdate", hint=_NEXT)
    found = _number(crl) if number is None else number
    return CrlFacts(found, crl.last_update_utc, crl.next_update_utc, issuer_der, len(crl))


def _issuer_der(crl_der: bytes) -> bytes:
    """Cut the issuer's Name out of TBSCertList: the element after version, if any, and signature."""
    tbs, *_ = der.children(crl_der, der.whole(crl_der))
    fields = (field for field in der.children(crl_der, tbs) if field.tag != der.INTEGER)
    next(fields)
    name = next(fields)
    return crl_der[name.start : name.end]


def check_crl(crl_der: bytes, issuer_certificate_der: bytes) -> CrlFacts:
    """Check that a CRL is of this CA and well signed, and return what it says of itself.

    Raises:
        PolicyError: it cannot be read, lacks nextUpdate or cRLNumber, is of another CA, or its signature is wrong.

    """
    crl = _load(crl_der)
    try:
        certificate = x509.load_der_x509_certificate(issuer_certificate_der)
        is_valid = _verify(crl_der, certificate.public_key())
    except UNREADABLE as error:
        raise PolicyError("the CRL's signature cannot be verified", hint=_NEXT) from error
    if crl.issuer != certificate.subject:
        raise PolicyError("the CRL was issued by another CA", hint=_NEXT)
    if not is_valid:
        raise PolicyError("the CRL's signature is wrong", hint=_NEXT)
    return _facts(crl, _issuer_der(crl_der))


def foreign_crl_facts(crl_der: bytes, issuer_certificate_der: bytes) -> CrlFacts:
    """As ``check_crl``, of a list that another program signed, with any algorithm; without a number it has number 0.

    Raises:
        PolicyError: it cannot be read, lacks nextUpdate, is of another CA, or its signature is wrong.

    """
    crl = _load(crl_der)
    try:
        certificate = x509.load_der_x509_certificate(issuer_certificate_der)
        if crl.issuer != certificate.subject:
            raise PolicyError("the CRL was issued by another CA", hint=_NEXT)
        is_valid = crl.is_signature_valid(certificate.public_key())  # type: ignore[arg-type]
        has_number = any(extension.oid == ExtensionOID.CRL_NUMBER for extension in crl.extensions)
    except UNREADABLE as error:
        raise PolicyError("the CRL's signature cannot be verified", hint=_NEXT) from error
    if not is_valid:
        raise PolicyError("the CRL's signature is wrong", hint=_NEXT)
    return _facts(crl, _issuer_der(crl_der), number=None if has_number else 0)


def is_list_of(crl_der: bytes, issuer_certificate_der: bytes) -> bool:
    """Say whether a CA signed a list, whatever wrote it."""
    try:
        foreign_crl_facts(crl_der, issuer_certificate_der)
    except PolicyError:
        return False
    return True


def revoked_entries(crl_der: bytes) -> Iterator[tuple[SerialNumber, datetime, RevocationReason]]:
    """Read serial number, revocation date (aware UTC) and reason of each entry, in the order of the list.

    Raises:
        PolicyError: it is not a CRL, or has a reason that an end entity cannot have.

    """
    for entry in _load(crl_der):
        yield SerialNumber(entry.serial_number), entry.revocation_date_utc, _reason(entry)


def entries_of_any_writer(crl_der: bytes) -> Iterator[tuple[SerialNumber, datetime, RevocationReason]]:
    """As ``revoked_entries``, of a list that something else may have written.

    A reason that an end entity cannot have counts as unspecified, and what no certificate of this program can be is
    passed over.
    """
    for entry in _load(crl_der):
        try:
            serial = SerialNumber(entry.serial_number)
        except PolicyError:
            continue
        try:
            reason = _reason(entry)
        except PolicyError:
            reason = RevocationReason.UNSPECIFIED
        yield serial, entry.revocation_date_utc, reason


def _reason(entry: x509.RevokedCertificate) -> RevocationReason:
    try:
        value = entry.extensions.get_extension_for_class(x509.CRLReason).value
    except x509.ExtensionNotFound:
        return RevocationReason.UNSPECIFIED
    except UNREADABLE as error:
        raise PolicyError("a CRL entry cannot be read", hint=_NEXT) from error
    try:
        return _REASONS[value.reason.value]
    except KeyError:
        raise PolicyError(f"the CRL reason {value.reason.value!r} is not supported") from None


_TIMES = (bytes([der.UTC_TIME]), bytes([der.GENERALIZED_TIME]))


def find_entry(crl_der: bytes, serial: SerialNumber) -> bytes | None:
    """The entry of a serial number in a CRL that this program signed, as ``listed_entries`` cuts it out; quickly."""
    wanted = der.integer(serial)
    position = crl_der.find(wanted)
    while position >= 2:
        start, time = position - 2, position + len(wanted)
        if crl_der[start] == der.SEQUENCE and crl_der[time : time + 1] in _TIMES:
            return crl_der[start : start + 2 + crl_der[start + 1]]
        position = crl_der.find(wanted, position + 1)
    return None


def listed_entries(crl_der: bytes) -> Iterator[bytes]:
    """Cut the list of a CRL that this program signed into its entries, as ``crl_entry.encode_entry`` wrote them.

    A million take a fifth of a second. Each is shorter than 128 octets, so its length is one octet.
    """
    tbs, *_ = der.children(crl_der, der.whole(crl_der))
    fields = der.children(crl_der, tbs)
    # After the times (RFC 5280 5.1.2): revokedCertificates, if any, then crlExtensions [0].
    found = [field for field in fields[5:] if field.tag == der.SEQUENCE]
    position, end = (found[0].begin, found[0].end) if found else (0, 0)
    while position < end:
        following = position + 2 + crl_der[position + 1]
        yield crl_der[position:following]
        position = following
