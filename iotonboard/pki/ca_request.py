"""A request of a CA for a certificate by a root: a plain PKCS #10 request (RFC 2986) that names the last answer.

The name of the last answer stands in an unstructuredName (RFC 2985 5.4.1), and so under the request's signature: an old
request cannot be given once more for a new one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.x509.oid import AttributeOID, NameOID

from iotonboard.errors import PolicyError
from iotonboard.model import parse_moment, rfc3339
from iotonboard.pki import der
from iotonboard.pki.csr import parse_csr
from iotonboard.pki.given import request_in
from iotonboard.pki.parse_errors import UNREADABLE
from iotonboard.pki.profiles import ATTRIBUTES, check_attribute
from iotonboard.pki.signatures import signature_algorithm, tbs_digest
from iotonboard.pki.words import to_words

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.model import KeyType
    from iotonboard.pki.keys import PublicKey
    from iotonboard.pki.signatures import Signer

_ATTRIBUTES: Final = 0xA0
_UNSTRUCTURED_NAME: Final = der.oid("1.2.840.113549.1.9.2")
_NO_ANSWER: Final = "none"
_SAID: Final = re.compile(r"iotonboard ca request v1 after (none|[0-9a-f]{64}) at (\S+) from (\S+)")
_MAKE_ONE: Final = "make one at the station: iotonboard ca request --out FILE"
_SPOKEN_OCTETS: Final = 16  # of the digest: twelve words


@dataclass(frozen=True, slots=True)
class CaRequest:
    """What a CA asks for. ``digest`` is SHA-256 of the request (DER); ``subject_der`` is its name, as it is encoded.

    ``after`` is SHA-256 of the certificate in the last answer that was installed, in lower-case hex; empty without one.
    ``made_at`` is ``None`` in a request of another program, as is ``begins``: when the CA's own certificate begins.
    """

    subject: x509.Name = field(repr=False)
    subject_der: bytes = field(repr=False)
    name: str
    public_key: PublicKey = field(repr=False)
    spki_sha256: bytes
    key_type: KeyType
    digest: bytes
    after: str
    made_at: datetime | None
    begins: datetime | None

    @property
    def words(self) -> str:
        """The first half of the digest in words that two people can read to each other."""
        return spoken(self.digest)


def spoken(digest: bytes) -> str:
    """The first half of a SHA-256 in words (RFC 1751) that two people can read to each other."""
    return " ".join(to_words(digest[:_SPOKEN_OCTETS]))


def make_ca_request(
    signer: Signer, subject_der: bytes, spki_der: bytes, after: str, now: datetime, begins: datetime
) -> bytes:
    """Write the request (DER) of a CA with this name and key.

    ``after``: SHA-256 of the certificate in the last answer that was installed, in hex; empty without one. ``begins``:
    notBefore of the CA's own certificate.
    """
    words = f"iotonboard ca request v1 after {after or _NO_ANSWER} at {rfc3339(now)} from {rfc3339(begins)}"
    said = words.encode("ascii")
    attribute = der.sequence(_UNSTRUCTURED_NAME, der.tlv(der.SET, der.tlv(der.UTF8_STRING, said)))
    info = der.sequence(der.integer(0), subject_der, spki_der, der.tlv(_ATTRIBUTES, attribute))
    public_key = signer.public_key()
    signature = signer.sign(info, tbs_digest(public_key))
    return der.sequence(info, signature_algorithm(public_key), der.bit_string(signature))


def read_ca_request(data: bytes) -> CaRequest:
    """Read a request, PEM or DER, with all checks that a device's request gets.

    Raises:
        PolicyError: it is none, its signature is wrong, its key is weak, it has no name, or asks for what a root does
            not give.
    """
    try:
        csr = parse_csr(data)
    except PolicyError as error:
        raise PolicyError(error.message, hint=_MAKE_ONE) from error
    octets = request_in(data, _MAKE_ONE)
    try:
        request = x509.load_der_x509_csr(octets)
        subject, extensions = request.subject, list(request.extensions)
        names = [str(one.value) for one in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        said = _said(request)
    except UNREADABLE as error:
        raise PolicyError("the request cannot be read", hint=_MAKE_ONE) from error
    if len(names) != 1:
        raise PolicyError("the request does not have exactly one commonName", hint=_MAKE_ONE)
    _check_name(subject)
    _refuse_wishes(extensions)
    info, *_ = der.children(octets, der.whole(octets))
    name = der.children(octets, info)[1]
    return CaRequest(
        subject,
        octets[name.start : name.end],
        names[0],
        csr.public_key,
        sha256(csr.spki_der).digest(),
        csr.key_type,
        sha256(octets).digest(),
        *said,
    )


def _said(request: x509.CertificateSigningRequest) -> tuple[str, datetime | None, datetime | None]:
    """Which answer was the last one, when the request was made, and when the CA's own certificate begins."""
    try:
        value = request.attributes.get_attribute_for_oid(AttributeOID.UNSTRUCTURED_NAME).value
    except x509.AttributeNotFound:
        return "", None, None
    found = _SAID.fullmatch(value.decode("utf-8", "replace"))
    if found is None:
        raise PolicyError("the request names its last answer in words that nobody knows", hint=_MAKE_ONE)
    return "" if found[1] == _NO_ANSWER else found[1], parse_moment(found[2]), parse_moment(found[3])


def _check_name(subject: x509.Name) -> None:
    """Refuse a name that no CA of this program could have: it is shown to people, and compared."""
    known = {oid: attribute for attribute, (oid, _) in ATTRIBUTES.items()}
    for one in subject:
        try:
            check_attribute(known.get(one.oid, one.oid.dotted_string), str(one.value))
        except PolicyError as error:
            raise PolicyError(f"the request's name is refused: {error.message}", hint=_MAKE_ONE) from error


def _refuse_wishes(extensions: list[x509.Extension[x509.ExtensionType]]) -> None:
    """Refuse extensions that the root would leave out or write otherwise: who asks for one counts on it."""
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints):
            is_given = value.ca and not value.path_length
        elif isinstance(value, x509.KeyUsage):
            is_given = value.key_cert_sign and value.crl_sign
        else:
            is_given = isinstance(value, x509.SubjectKeyIdentifier)
        if not is_given:
            oid = extension.oid
            name = oid._name if oid._name != "Unknown OID" else oid.dotted_string  # noqa: SLF001 - there is no other way
            raise PolicyError(f"the request asks for {name!r}, which a root does not give so", hint=_MAKE_ONE)
