"""What people give as a certificate, a CRL or a request: the octets that are meant, whatever wraps them.

PEM as OpenSSL, mail programs and editors leave it (RFC 7468 section 2 lets a reader skip text around the blocks), DER,
base64 alone, and the answer of an nRF91 modem to ``AT%KEYGEN``. What the program wrote itself is read by ``pem``, and
what a broker reads by OpenSSL (``broker.openssl``): both are stricter.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from typing import Final

from iotonboard.errors import PolicyError
from iotonboard.pki import der

# Beside blanks and line ends of all kinds: the line ends of a JSON text, and the blank that does not break.
_BLANKS: Final = re.compile(rb"(?:\s|\\[rn]|\xc2\xa0)+")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{64,}={0,2}")
# Nordic's AT commands reference, %KEYGEN: "Base64Url(CSR_DER).Base64Url(cose_sign)". The second half, the modem's
# attestation, is not looked at: that the device has the key, the request's own signature says.
_KEYGEN: Final = re.compile(rb"%KEYGEN:\s*\"([A-Za-z0-9_=\s-]+)\.[A-Za-z0-9_=\s-]*\"")
_BARE_KEYGEN: Final = re.compile(rb"\"?([A-Za-z0-9_-]{64,}={0,2})\.[A-Za-z0-9_-]+={0,2}\"?")
_ANY_BOUNDARY: Final = re.compile(rb"-----(?:BEGIN|END) ([A-Z0-9 ]{1,64})-----")
# Lines "Name: value" and an empty one, which older programs write into a block (RFC 1421 section 4.6).
_HEADERS: Final = re.compile(rb"\A\s*(?:[A-Za-z][A-Za-z0-9-]*:[^\r\n]*\r?\n(?:[ \t]+[^\r\n]+\r?\n)*)+[ \t]*\r?\n")
_SPACE: Final = re.compile(rb"\s*")
_ZIP: Final = b"PK\x03\x04"
_WHOLE: Final = "copy the whole file again"

# What a DER file is, told by the tags of what its outermost element begins with.
_KINDS: Final = {
    (der.INTEGER, der.SEQUENCE, der.OCTET_STRING): "a private key",
    (der.INTEGER, der.OCTET_STRING): "a private key",
    (der.INTEGER, der.INTEGER, der.INTEGER): "a private key",
    (der.INTEGER, der.SEQUENCE): "a PKCS #12 file",
    (der.OBJECT_IDENTIFIER, 0xA0): "a PKCS #7 file",
    (der.SEQUENCE, der.OCTET_STRING): "an encrypted private key",
    (der.SEQUENCE, der.BIT_STRING): "a public key",
}
_SIGNED_KINDS: Final = {
    (0xA0,): "a certificate",
    (der.INTEGER, *(der.SEQUENCE,) * 5): "a certificate",  # of version 1
    (der.INTEGER, der.SEQUENCE, der.SEQUENCE, der.UTC_TIME): "a CRL",
    (der.SEQUENCE, der.SEQUENCE, der.UTC_TIME): "a CRL",
    (der.INTEGER, der.SEQUENCE, der.SEQUENCE): "a certification request",
}
_HINTS: Final = {
    "a PKCS #12 file": "take the certificates out: openssl pkcs12 -nokeys -in FILE",
    "a PKCS #7 file": "take the certificates out: openssl pkcs7 -inform DER -print_certs -in FILE",
    "a ZIP archive": "'iotonboard bundle open' opens a creds.zip",
}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a file should hold: its PEM label, all of them as a pattern, words for it, and what to type without it."""

    block: str
    labels: bytes
    what: str
    hint: str


def certificates_in(data: bytes) -> list[bytes]:
    """Every certificate of a file, DER, in its order; keys and other blocks beside them are passed over.

    Raises:
        PolicyError: there is none, one is damaged, or what is in the file instead; with what to do.
    """
    hint = "name a file that holds the certificate, PEM or DER"
    return _objects(data, _Wanted("CERTIFICATE", rb"(?:X509 |TRUSTED )?CERTIFICATE", "a certificate", hint))


def crls_in(data: bytes) -> list[bytes]:
    """Every CRL of a file, DER, in its order; other blocks beside them are passed over.

    Raises:
        PolicyError: there is none, one is damaged, or what is in the file instead; with what to do.
    """
    return _objects(data, _Wanted("X509 CRL", rb"(?:X509 )?CRL", "a CRL", "name the newest crl.pem that a broker has"))


def request_in(data: bytes, hint: str) -> bytes:
    """The one certification request of a file, DER; ``hint`` says how one is made.

    Raises:
        PolicyError: there is none, or more than one, or it is damaged.
    """
    wanted = _Wanted("CERTIFICATE REQUEST", rb"(?:NEW )?CERTIFICATE REQUEST", "a certification request", hint)
    requests = _objects(data, wanted)
    if len(requests) != 1:
        raise PolicyError(f"the file holds {len(requests)} requests, expected one", hint="split the file")
    return requests[0]


def _objects(data: bytes, wanted: _Wanted) -> list[bytes]:
    data = as_octets(data)
    if not data.strip():
        raise PolicyError(f"the file is empty, expected {wanted.what}", hint=wanted.hint)
    if answers := _KEYGEN.findall(data):
        found = [_decoded(text, wanted) for text in answers]
    elif _ANY_BOUNDARY.search(data):
        found = _blocks(data, wanted)
    else:
        found = _elements(data, wanted)
    for octets in found:
        if (kind := kind_of(octets)) != wanted.what:
            what = f"this is {kind}, not {wanted.what}" if kind else f"this is not {wanted.what} that can be read"
            raise PolicyError(what, hint=_HINTS.get(kind, wanted.hint))
    return found


def kind_of(octets: bytes) -> str:
    """Say what octets are, such as ``a private key``, by the outermost elements of their DER; empty when unknown."""
    if octets.startswith(_ZIP):
        return "a ZIP archive"
    try:
        top = der.children(octets, der.whole(octets))
        tags = tuple(element.tag for element in top)
        kinds = _KINDS
        if tags == (der.SEQUENCE, der.SEQUENCE, der.BIT_STRING):
            tags, kinds = tuple(element.tag for element in der.children(octets, top[0])), _SIGNED_KINDS
    except PolicyError:
        return ""
    tags = tuple(der.UTC_TIME if tag == der.GENERALIZED_TIME else tag for tag in tags)
    return next((kind for beginning, kind in kinds.items() if tags[: len(beginning)] == beginning), "")


def as_octets(data: bytes) -> bytes:
    """Text in the encoding that Windows calls Unicode becomes octets that can be read on."""
    encoding, dashes = "", data.find(b"-\0-\0-\0")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif dashes >= 0:
        encoding = "utf-16-be" if dashes % 2 else "utf-16-le"
    return data.decode(encoding, "replace").encode("utf-8", "replace") if encoding else data


def _blocks(data: bytes, wanted: _Wanted) -> list[bytes]:
    """Decode the PEM blocks that are wanted; every boundary line of such a block must belong to a whole one."""
    blocks = re.findall(rb"(?s)-----BEGIN (%b)-----(.*?)-----END \1-----" % wanted.labels, data)
    marks = re.findall(rb"-----(?:BEGIN|END) %b-----" % wanted.labels, data)
    if not marks:
        others = sorted({label.decode() for label in _ANY_BOUNDARY.findall(data)})
        raise PolicyError(f"the file holds {', '.join(others)}, not {wanted.what}", hint=wanted.hint)
    if len(marks) != 2 * len(blocks):
        raise PolicyError("a block is cut short: its BEGIN or END line is missing", hint=_WHOLE)
    found = [_decoded(_HEADERS.sub(b"", text, count=1), wanted) for _, text in blocks]
    # OpenSSL's TRUSTED CERTIFICATE is a certificate with what it is trusted for behind it.
    return [
        _first(octets) if label[:7] == b"TRUSTED" else octets for (label, _), octets in zip(blocks, found, strict=True)
    ]


def _first(octets: bytes) -> bytes:
    return octets[: der.read(octets).end]


def _decoded(text: bytes, wanted: _Wanted) -> bytes:
    """Decode base64 of either alphabet, whatever blanks are in it and whether it is padded or not (RFC 4648)."""
    letters = _BLANKS.sub(b"", text).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4), strict_mode=True)
    except binascii.Error:
        raise PolicyError(f"what should be {wanted.what} is damaged: it is not base64", hint=_WHOLE) from None


def _elements(data: bytes, wanted: _Wanted) -> list[bytes]:
    """Read a file without any boundary line: base64 alone, or DER with perhaps a line end behind it."""
    text = _BLANKS.sub(b"", data.removeprefix(b"\xef\xbb\xbf"))
    if bare := _BARE_KEYGEN.fullmatch(text) or _BASE64.fullmatch(text):
        data = _decoded(bare[bare.lastindex or 0], wanted)
    if data.startswith(_ZIP):
        return [data]
    found: list[bytes] = []
    position = _SPACE.match(data).end()  # type: ignore[union-attr]
    while position < len(data):
        if data[position] != der.SEQUENCE:
            if found:
                rest = len(data) - position
                raise PolicyError(f"{rest} octets follow {wanted.what} in the file, and are nothing", hint=_WHOLE)
            raise PolicyError(f"no {wanted.block!r} block in it, and it is no DER", hint=wanted.hint)
        try:
            end = der.read(data, position).end
        except PolicyError:
            raise PolicyError(f"{wanted.what} in this file is cut short", hint=_WHOLE) from None
        found.append(data[position:end])
        position = _SPACE.match(data, end).end()  # type: ignore[union-attr]
    return found
