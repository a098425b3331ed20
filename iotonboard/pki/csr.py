"""Certification requests (RFC 2986): only the public key is taken, and only when it is proved and sound."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from iotonboard.errors import PolicyError
from iotonboard.pki.keys import key_type_of, spki_der
from iotonboard.pki.lint import weak_keys
from iotonboard.pki.parse_errors import UNREADABLE
from iotonboard.pki.pem import pem_decode_all

if TYPE_CHECKING:
    from iotonboard.model import KeyType
    from iotonboard.pki.keys import PublicKey

# A request with an RSA-4096 key and many extensions stays below 4 KiB; more is not a request.
MAX_CSR_OCTETS: Final = 64 * 1024
_LABEL: Final = re.compile(rb"-----BEGIN ((?:NEW )?CERTIFICATE REQUEST)-----")
_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_MAKE_ONE: Final = "make one with: openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256"


@dataclass(frozen=True, slots=True)
class Csr:
    """What is used of a request. Its subject and extensions are ignored: the profile decides those."""

    public_key: PublicKey
    spki_der: bytes
    key_type: KeyType


def parse_csr(data: bytes) -> Csr:
    """Read one request, PEM or DER, and check proof of possession and the key.

    Raises:
        PolicyError: too large, not exactly one request, malformed, signature wrong or weak (RFC 2986
            section 4.2), key of an unsupported type or size, or weak.

    """
    if len(data) > MAX_CSR_OCTETS:
        raise PolicyError(f"the request is larger than {MAX_CSR_OCTETS} octets", hint=_MAKE_ONE)
    request = _load(_request_der(data))
    try:
        public_key = request.public_key()
    except UNREADABLE as error:
        raise PolicyError("the request's public key cannot be read", hint=_MAKE_ONE) from error
    key_type = key_type_of(public_key)
    _check_proof(request)
    supported = cast("PublicKey", public_key)
    weak_keys.check_public_key(supported)
    return Csr(public_key=supported, spki_der=spki_der(supported), key_type=key_type)


def _request_der(data: bytes) -> bytes:
    """Take the DER out of a PEM file; anything without a BEGIN line is DER."""
    if not data.strip():
        raise PolicyError("the request is empty", hint=_MAKE_ONE)
    if b"-----BEGIN" not in data:
        return data
    found = _LABEL.search(data)
    requests = pem_decode_all(found[1].decode() if found else "CERTIFICATE REQUEST", data)
    if len(requests) != 1:
        raise PolicyError(f"the file holds {len(requests)} requests, expected one", hint="split the file")
    return requests[0]


def _load(request_der: bytes) -> x509.CertificateSigningRequest:
    try:
        return x509.load_der_x509_csr(request_der)
    except UNREADABLE as error:
        raise PolicyError("this is not a certification request", hint=_MAKE_ONE) from error


def _check_proof(request: x509.CertificateSigningRequest) -> None:
    """Check that the requester holds the private key, with a signature that still proves something."""
    try:
        digest = request.signature_hash_algorithm
        proved = (digest is None or isinstance(digest, _HASHES)) and request.is_signature_valid
    except UNREADABLE as error:
        raise PolicyError("the request's signature algorithm is not supported", hint=_MAKE_ONE) from error
    if digest is not None and not isinstance(digest, _HASHES):
        raise PolicyError(f"the request is signed with {digest.name!r}, which is too weak", hint=_MAKE_ONE)
    if not proved:
        raise PolicyError(
            "the request's signature is wrong: its key was not proved",
            hint="make the request again on the device",
        )
