"""The certificates and lists of a broker's files, as far as they can be read: for words and for questions.

What a broker makes of them is asked from OpenSSL (``broker/openssl.py``); nothing here decides.
"""

from __future__ import annotations

import binascii
import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509

from iotonboard.broker.mqtt_text import is_malformed
from iotonboard.errors import PolicyError
from iotonboard.pki import der
from iotonboard.pki.parse_errors import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from typing import TypeAlias

    NameKey: TypeAlias = tuple[tuple[tuple[bytes, bytes], ...], ...]

_BLOCK = re.compile(rb"^-----BEGIN (?:X509 |TRUSTED )?(CERTIFICATE|CRL)-----(.*?)^-----END", re.DOTALL | re.MULTILINE)
# OpenSSL takes a line as it stands, but for blanks at its end.
_CERTIFICATE_BEGINS = re.compile(rb"^-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[ \t\r]*$", re.MULTILINE)
_LIST_BEGINS = re.compile(rb"^-----BEGIN X509 CRL-----[ \t\r]*$", re.MULTILINE)
# Keys that sign a TLS handshake with any broker that was left at OpenSSL's defaults (RFC 8446 4.2.3).
_TLS_KEYS = {
    der.oid(number)
    for number in ("1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10", "1.3.101.112", "1.3.101.113")  # RSA, PSS, Edwards
}
_EC_KEY = der.oid("1.2.840.10045.2.1")
_TLS_CURVES = {der.oid(number) for number in ("1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35")}  # P-256 to P-521
_ENCODINGS = {0x14: "latin-1", 0x1C: "utf-32-be", 0x1E: "utf-16-be"}  # T61String, UniversalString, BMPString
_COMMON_NAME = der.oid("2.5.4.3")
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_BASIC_CONSTRAINTS = der.oid("2.5.29.19")


@dataclass(frozen=True, slots=True)
class ListView:
    """One CRL. ``number`` is 0 where it has none; ``issuer`` is a name to compare (``name_key``)."""

    crl: x509.CertificateRevocationList
    issuer: NameKey
    number: int
    this_update: datetime
    next_update: datetime | None
    is_delta: bool

    def lists(self, serial: int) -> bool:
        """Say whether a serial number is on the list, as far as it can be read."""
        with contextlib.suppress(*UNREADABLE):
            return self.crl.get_revoked_certificate_by_serial_number(serial) is not None
        return False


@dataclass(frozen=True, slots=True)
class ClientView:
    """A client's certificate as Mosquitto and TLS look at it, beside OpenSSL's verification.

    ``user_name`` is the first commonName; ``None`` where Mosquitto takes none from it. ``has_tls_key`` is false for
    a key that no broker takes in a handshake. ``is_ca`` is what its basicConstraints say. ``issuer`` is a name to
    compare (``name_key``). ``has_odd_name``: the name is no text for MQTT, which 2.1 asks for and 2.0 does not.
    """

    user_name: str | None
    serial: int
    issuer: NameKey
    has_tls_key: bool
    is_ca: bool
    has_odd_name: bool = False


def view_client(certificate_der: bytes) -> ClientView | None:
    """Look at a client's certificate; ``None`` when it cannot be read here.

    Its octets are read without a library: OpenSSL takes names and numbers that libraries refuse.
    """
    try:
        return _view_client(certificate_der)
    except (PolicyError, ValueError, IndexError):
        return None


def _view_client(octets: bytes) -> ClientView:
    """RFC 5280 4.1: [0] version, serialNumber, signature, issuer, validity, subject, key, ... [3] extensions."""
    tbs = der.children(octets, der.whole(octets))[0]
    fields = der.children(octets, tbs)
    serial, _, issuer, _, subject, key, *rest = fields[1:] if fields[0].tag == _VERSION else fields
    extensions = next((one for one in rest if one.tag == _EXTENSIONS), None)
    name = _name_octets(octets, subject)
    return ClientView(
        None if name is None else name.decode("utf-8", "backslashreplace"),
        int.from_bytes(octets[serial.begin : serial.end], signed=True),
        name_key(octets[issuer.start : issuer.end]),
        _has_tls_key(octets, key),
        extensions is not None and _is_ca(octets, extensions),
        name is not None and is_malformed(name.decode("utf-8", "surrogateescape")),
    )


def _name_octets(octets: bytes, subject: der.Element) -> bytes | None:
    """The first commonName, of whatever string type; Mosquitto refuses one with a NUL in it."""
    for step in der.children(octets, subject):
        for attribute in der.children(octets, step):
            identifier, value = der.children(octets, attribute)
            if octets[identifier.start : identifier.end] == _COMMON_NAME:
                name = octets[value.begin : value.end]
                return None if b"\0" in name else name
    return None


def _has_tls_key(octets: bytes, key: der.Element) -> bool:
    algorithm = der.children(octets, key)[0]
    kind, *parameters = (octets[one.start : one.end] for one in der.children(octets, algorithm))
    return kind in _TLS_KEYS or (kind == _EC_KEY and parameters[0] in _TLS_CURVES)


def _is_ca(octets: bytes, extensions: der.Element) -> bool:
    for extension in der.children(octets, der.children(octets, extensions)[0]):
        identifier, *_, value = der.children(octets, extension)
        if octets[identifier.start : identifier.end] == _BASIC_CONSTRAINTS:
            constraints = der.read(octets, value.begin, value.end)
            return octets[constraints.begin : constraints.end].startswith(der.TRUE)
    return False


def name_key(name_der: bytes) -> NameKey:
    """A name as OpenSSL compares it: string types, runs of blanks and the case of ASCII letters do not matter."""
    parts = []
    for step in der.children(name_der, der.whole(name_der)):
        pairs = (der.children(name_der, attribute) for attribute in der.children(name_der, step))
        parts.append(tuple(sorted((name_der[one.start : one.end], _folded(name_der, text)) for one, text in pairs)))
    return tuple(parts)


def _folded(octets: bytes, value: der.Element) -> bytes:
    content = octets[value.begin : value.end]
    if encoding := _ENCODINGS.get(value.tag):
        content = content.decode(encoding, "replace").encode()
    return b" ".join(content.lower().split())


def certificate_blocks(data: bytes) -> tuple[bytes, ...]:
    """What the certificate blocks of a PEM file hold, DER."""
    return tuple(_blocks(data, b"CERTIFICATE"))


@dataclass(frozen=True, slots=True)
class CaView:
    """A certificate of a CA file, or one that is sent along; the names are to compare (``name_key``)."""

    certificate: x509.Certificate
    subject: NameKey
    issuer: NameKey


def view_cas(data: bytes) -> list[CaView]:
    """The certificates of a CA file that can be read."""
    return view_chain(certificate_blocks(data))


def view_chain(ders: Iterable[bytes]) -> list[CaView]:
    """Those of some certificates that can be read."""
    found = []
    for octets in ders:
        with contextlib.suppress(*UNREADABLE):
            ca = x509.load_der_x509_certificate(octets)
            found.append(CaView(ca, name_key(ca.subject.public_bytes()), name_key(ca.issuer.public_bytes())))
    return found


def view_lists(data: bytes) -> list[ListView]:
    """The CRLs of a file that can be read."""
    lists = []
    for octets in _blocks(data, b"CRL"):
        with contextlib.suppress(*UNREADABLE):
            lists.append(_view_list(x509.load_der_x509_crl(octets)))
    return lists


def _view_list(crl: x509.CertificateRevocationList) -> ListView:
    values = {type(extension.value): extension.value for extension in crl.extensions}
    number = values.get(x509.CRLNumber)
    return ListView(
        crl,
        name_key(crl.issuer.public_bytes()),
        number.crl_number if isinstance(number, x509.CRLNumber) else 0,
        crl.last_update_utc,
        crl.next_update_utc,
        x509.DeltaCRLIndicator in values,
    )


def _blocks(data: bytes, label: bytes) -> Iterator[bytes]:
    for match in _BLOCK.finditer(data):
        if match[1] == label:
            with contextlib.suppress(binascii.Error, PolicyError):
                octets = binascii.a2b_base64(match[2])
                yield octets[: der.read(octets).end]  # behind a TRUSTED CERTIFICATE stands what it is trusted for


def as_read(data: bytes) -> bytes:
    """What OpenSSL reads of a file: what stands behind a byte order mark, up to a line that begins with a NUL."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    return (b"\n" + data).partition(b"\n\0")[0][1:] if b"\0" in data else data


def holds_certificates(data: bytes) -> bool:
    """Say whether there is anything that looks like a certificate in a CA file."""
    return any(True for _ in _blocks(data, b"CERTIFICATE"))


def may_hold_certificates(data: bytes) -> bool:
    """Say whether there is surely a block that a CA file is read for, if OpenSSL finds no fault in the file."""
    return _CERTIFICATE_BEGINS.search(data) is not None


def may_hold_lists(data: bytes) -> bool:
    """Say whether there is surely a list, if OpenSSL finds no fault in the file."""
    return _LIST_BEGINS.search(data) is not None


def why_unreadable(data: bytes, label: str) -> str:
    """Say in words why OpenSSL does not read a file that should hold ``label`` blocks."""
    if not data.strip():
        return "it is empty"
    if f"-----BEGIN {label}-----".encode() not in data:
        return f"no {label!r} block in it"
    return "a PEM block is cut short or damaged"


def shown(name: x509.Name) -> str:
    """A name's values without their types, for people."""
    return ", ".join(str(attribute.value) for attribute in name) or "a CA without a name"
