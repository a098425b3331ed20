"""Certification requests (RFC 2986): only the public key is taken, and only when it is proved and sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from iotonboard.errors import PolicyError
from iotonboard.pki import der
from iotonboard.pki.foreign_signatures import RSASSA_PSS, check_signature
from iotonboard.pki.given import request_in
from iotonboard.pki.keys import key_type_of, read_public_key, spki_der
from iotonboard.pki.lint import weak_keys
from iotonboard.pki.parse_errors import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.model import KeyType
    from iotonboard.pki.hostnames import HostName
    from iotonboard.pki.keys import PrivateKey, PublicKey

# A request with an RSA-4096 key and many extensions stays below 4 KiB; more is not a request.
MAX_CSR_OCTETS: Final = 64 * 1024
_COMMON_NAME_BOUND: Final = 64  # RFC 5280 appendix A.1
_NEWEST_VERSION: Final = 2  # RFC 2986 knows 0 alone; makers count as certificates do, and nothing depends on it
_INFO_TAGS: Final = (der.INTEGER, der.SEQUENCE, der.SEQUENCE)
_ATTRIBUTES_TAG: Final = 0xA0
_EC_PUBLIC_KEY: Final = der.oid("1.2.840.10045.2.1")
_MAKE_ONE: Final = "make one with: openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256"
_MAKE_RSA: Final = "make the key with 'openssl genrsa', or: openssl req -new -newkey rsa:2048"


@dataclass(frozen=True, slots=True)
class Csr:
    """What is used of a request. Its subject and extensions are ignored: the profile decides those."""

    public_key: PublicKey
    spki_der: bytes
    key_type: KeyType


@dataclass(frozen=True, slots=True)
class _Parts:
    """A request taken apart (RFC 2986 section 4.2): what was signed, the key in it, and the signature; all DER."""

    info: bytes
    spki: bytes
    algorithm: bytes
    signature: bytes


def parse_csr(data: bytes) -> Csr:
    """Read one request, as ``given`` finds it in a file, and check proof of possession and the key.

    Attributes may be missing and the version may be wrong: whatever stands in a request, its signature is over it.

    Raises:
        PolicyError: too large, not exactly one request, malformed, signature wrong or weak (RFC 2986
            section 4.2), key of an unsupported type or size, or weak.

    """
    if len(data) > MAX_CSR_OCTETS:
        raise PolicyError(f"the request is larger than {MAX_CSR_OCTETS} octets", hint=_MAKE_ONE)
    parts = _take_apart(request_in(data, _MAKE_ONE))
    _check_algorithm_of_key(parts.spki)
    public_key = read_public_key(parts.spki)
    key_type = key_type_of(public_key)
    try:
        check_signature(public_key, parts.algorithm, parts.signature, parts.info, hint=_MAKE_ONE)
    except PolicyError as error:
        raise PolicyError(f"the request is refused: {error.message}", hint=error.hint) from error
    supported = cast("PublicKey", public_key)
    weak_keys.check_public_key(supported)
    return Csr(public_key=supported, spki_der=spki_der(supported), key_type=key_type)


def make_request(key: PrivateKey, names: Sequence[HostName]) -> bytes:
    """Write a request (DER) for a server's certificate with these names; the first one is the commonName if it fits."""
    first = str(names[0])
    common_name = [x509.NameAttribute(NameOID.COMMON_NAME, first)] if len(first) <= _COMMON_NAME_BOUND else []
    alt_names = x509.SubjectAlternativeName(
        [x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name) for name in names]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(common_name))
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.add_extension(alt_names, critical=False).sign(key, digest).public_bytes(Encoding.DER)


def requested_names(data: bytes) -> list[str]:
    """The host names and addresses that a request asks for (RFC 2985 section 5.4.2), which somebody is to agree to.

    Raises:
        PolicyError: it asks for none, or cannot be read.

    """
    try:
        extensions = x509.load_der_x509_csr(request_in(data, _MAKE_ONE)).extensions
        wanted = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise PolicyError("the request names no host", hint="name the hosts beside it") from None
    except UNREADABLE:
        raise PolicyError("the names in the request cannot be read", hint="name the hosts beside it") from None
    return [*wanted.get_values_for_type(x509.DNSName), *map(str, wanted.get_values_for_type(x509.IPAddress))]


def _take_apart(octets: bytes) -> _Parts:
    """Split a request, whose outermost elements are as they should be (``given.kind_of``)."""
    try:
        info, algorithm, signature = der.children(octets, der.whole(octets))
        fields = der.children(octets, info)
    except PolicyError as error:
        raise PolicyError(f"the request is damaged: {error.message}", hint=_MAKE_ONE) from error
    if tuple(field.tag for field in fields) not in (_INFO_TAGS, (*_INFO_TAGS, _ATTRIBUTES_TAG)):
        raise PolicyError("the request is damaged: it holds what no request does", hint=_MAKE_ONE)
    if octets[signature.begin : signature.begin + 1] != b"\0":
        raise PolicyError("the request is damaged: its signature is no whole number of octets", hint=_MAKE_ONE)
    version, _, spki, *_ = fields
    number = int.from_bytes(octets[version.begin : version.end], signed=True)
    if not 0 <= number <= _NEWEST_VERSION:
        raise PolicyError("the request has a version that nobody knows", hint=_MAKE_ONE)
    return _Parts(
        octets[info.start : info.end],
        octets[spki.start : spki.end],
        octets[algorithm.start : algorithm.end],
        octets[signature.begin + 1 : signature.end],  # the first octet counts unused bits: none
    )


def _check_algorithm_of_key(spki: bytes) -> None:
    """Refuse keys that the library would read as something else than they are, or for a reason that says nothing."""
    try:
        algorithm, _ = der.children(spki, der.whole(spki))
        oid, *parameters = der.children(spki, algorithm)
    except (PolicyError, ValueError):
        raise PolicyError("the request is damaged: its public key cannot be read", hint=_MAKE_ONE) from None
    name = spki[oid.start : oid.end]
    if name == RSASSA_PSS:
        raise PolicyError(
            "the request's key is for RSASSA-PSS alone (id-RSASSA-PSS): the certificate would be for rsaEncryption, and"
            " nothing could use the two together",
            hint=_MAKE_RSA,
        )
    if name == _EC_PUBLIC_KEY and parameters and parameters[0].tag != der.OBJECT_IDENTIFIER:
        raise PolicyError("the request's key has a curve without a name (RFC 5480 2.1.1)", hint=_MAKE_ONE)
