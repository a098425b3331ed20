"""Requests and certificate files of any octets: what they hold, or a documented error, and nothing else."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable

from hypothesis import example, given, settings
from hypothesis import strategies as st
from iotonboard.errors import PolicyError
from iotonboard.pki.csr import parse_csr
from iotonboard.pki.facts import certificate_facts
from iotonboard.pki.given import certificates_in
from iotonboard.pki.pem import pem_encode

from support.pki import device, issuer

CA, DEVICE = issuer().certificate_der, device()
_MANY = settings(max_examples=int(os.environ.get("IOTB_EXAMPLES", "150")), deadline=None, derandomize=True)
_REQUEST = base64.b64decode(
    "MIG5MGICAQAwADBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGncmZ6daSjyyooXFDDne8+/kr8J73fVk6B3CEc0a3rDHikZcPZgI+DkajQsUTir"
    "jgkGVZkTf/S1b+BG0hCHU+qgADAKBggqhkjOPQQDAgNHADBEAiBmvN3XDcihYlr614Ddsl96OAGKWrWBjymmC3vwDSNbWgIgJI9q2Mg2UF3KxwiZ"
    "3yyA7cfivnzk/zh4JTMQ6cEfGug="
)


@st.composite
def _damaged(draw: st.DrawFn, whole: bytes, label: str) -> bytes:
    """A good file with octets changed, cut out or put in, as DER or as PEM of that."""
    octets = bytearray(whole)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(octets) - 1))
        octets[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
        octets = octets or bytearray(b"0")
    if draw(st.booleans()):
        octets = bytearray(pem_encode(label, bytes(octets)))
        at = draw(st.integers(0, len(octets)))
        octets[at : at + draw(st.integers(0, 40))] = draw(st.binary(max_size=5))
    return bytes(octets)


@_MANY
@given(st.one_of(st.binary(max_size=120), _damaged(_REQUEST, "CERTIFICATE REQUEST")))
@example(_REQUEST)
def test_requests(data: bytes) -> None:
    assert _outcome(parse_csr, data)


@_MANY
@given(st.one_of(st.binary(max_size=120), _damaged(DEVICE, "CERTIFICATE"), _damaged(CA, "CERTIFICATE")))
def test_certificates(data: bytes) -> None:
    found = _outcome(certificates_in, data)
    assert found
    for octets in found if isinstance(found, list) else ():
        assert _outcome(certificate_facts, octets)


_WRAPPINGS: tuple[Callable[[bytes], bytes], ...] = (
    lambda pem: b"Subject: sensor\n" + pem + b"-- \nregards\n",
    lambda pem: pem.replace(b"\n", b" \t\n"),
    lambda pem: pem.replace(b"\n", b"\n  "),
    lambda pem: pem.replace(b"\n", b"\n\n"),
    lambda pem: pem_encode("EC PARAMETERS", b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07") + pem,
    lambda pem: pem + pem_encode("CERTIFICATE", DEVICE),
)
_ENCODED: tuple[Callable[[bytes], bytes], ...] = (
    lambda pem: pem,
    lambda pem: b"\xef\xbb\xbf" + pem,
    lambda pem: pem.replace(b"\n", b"\r\n"),
    lambda pem: pem.replace(b"\n", b"\r"),
    lambda pem: pem.decode().encode("utf-16"),
    lambda pem: pem.decode().encode("utf-16-le"),
    lambda pem: pem.decode().encode("utf-16-be"),
)


@_MANY
@given(
    st.sampled_from(["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"]),
    st.lists(st.sampled_from(_WRAPPINGS), max_size=4, unique=True),
    st.sampled_from(_ENCODED),
)
def test_a_good_request_whatever_wraps_it(
    label: str, wrappings: list[Callable[[bytes], bytes]], encoded: Callable[[bytes], bytes]
) -> None:
    pem = pem_encode(label, _REQUEST)
    for wrap in wrappings:
        pem = wrap(pem)
    assert parse_csr(encoded(pem)).spki_der == parse_csr(_REQUEST).spki_der


def _outcome(read: Callable[[bytes], object], data: bytes) -> object:
    """What was read, or the message of the documented error."""
    try:
        return read(data)
    except PolicyError as error:
        return error.message
