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
from cryptography.hazmat.primitives.asymmetric import ec

from iotonboard.pki import der
from iotonboard.pki.parse_errors import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

_BLOCK = re.compile(rb"-----BEGIN (?:X509 )?(CERTIFICATE|CRL)-----(.*?)-----END", re.DOTALL)
_TLS_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)  # of the groups that OpenSSL offers unasked
_COMMON_NAME = der.oid("2.5.4.3")
_WIDE_STRINGS = {0x1C, 0x1E}  # UniversalString, BMPString


@dataclass(frozen=True, slots=True)
class ListView:
    """One CRL. ``number`` is 0 where it has none; ``issuer_der`` is a Name."""

    crl: x509.CertificateRevocationList
    issuer_der: bytes
    number: int
    this_update: datetime
    next_update: datetime | None
    is_delta: bool

    def lists(self, serial: int) -> bool:
        """Say whether a serial number is on the list."""
        return self.crl.get_revoked_certificate_by_serial_number(serial) is not None


@dataclass(frozen=True, slots=True)
class ClientView:
    """A client's certificate as Mosquitto and TLS look at it, beside OpenSSL's verification.

    ``user_name`` is the first commonName; ``None`` where Mosquitto takes none from it. ``has_tls_curve`` is false for
    an EC key on a curve that no broker offers. ``is_ca`` is what its basicConstraints say.
    """

    user_name: str | None
    serial: int
    issuer_der: bytes
    has_tls_curve: bool
    is_ca: bool


def view_client(certificate_der: bytes) -> ClientView | None:
    """Look at a client's certificate; ``None`` when it cannot be read here."""
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        key, names = certificate.public_key(), certificate.subject.public_bytes()
        serial, issuer_der = certificate.serial_number, certificate.issuer.public_bytes()
        is_ca = any(isinstance(one.value, x509.BasicConstraints) and one.value.ca for one in certificate.extensions)
    except UNREADABLE:
        return None
    has_tls_curve = not isinstance(key, ec.EllipticCurvePublicKey) or isinstance(key.curve, _TLS_CURVES)
    return ClientView(_user_name(names), serial, issuer_der, has_tls_curve, is_ca)


def _user_name(subject_der: bytes) -> str | None:
    """The first commonName; Mosquitto refuses one with a NUL in it, as the wide string types have."""
    for step in der.children(subject_der, der.whole(subject_der)):
        for attribute in der.children(subject_der, step):
            identifier, value = der.children(subject_der, attribute)
            if subject_der[identifier.start : identifier.end] == _COMMON_NAME:
                octets = subject_der[value.begin : value.end]
                is_usable = octets and value.tag not in _WIDE_STRINGS and b"\0" not in octets
                return octets.decode("utf-8", "replace") if is_usable else None
    return None


def certificate_blocks(data: bytes) -> tuple[bytes, ...]:
    """What the certificate blocks of a PEM file hold, DER."""
    return tuple(_blocks(data, b"CERTIFICATE"))


def view_cas(data: bytes) -> list[x509.Certificate]:
    """The certificates of a CA file that can be read."""
    return view_chain(certificate_blocks(data))


def view_chain(ders: Iterable[bytes]) -> list[x509.Certificate]:
    """Those of some certificates that can be read."""
    found = []
    for octets in ders:
        with contextlib.suppress(*UNREADABLE):
            found.append(x509.load_der_x509_certificate(octets))
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
        crl.issuer.public_bytes(),
        number.crl_number if isinstance(number, x509.CRLNumber) else 0,
        crl.last_update_utc,
        crl.next_update_utc,
        x509.DeltaCRLIndicator in values,
    )


def _blocks(data: bytes, label: bytes) -> Iterator[bytes]:
    for match in _BLOCK.finditer(data):
        if match[1] == label:
            with contextlib.suppress(binascii.Error):
                yield binascii.a2b_base64(match[2])


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
