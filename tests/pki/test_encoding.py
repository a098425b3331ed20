"""DER, PEM and CRL entries: octets against vectors, and everything malformed refused."""

from __future__ import annotations

import base64
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
from iotonboard.errors import PolicyError
from iotonboard.model import RevocationReason, SerialNumber
from iotonboard.pki import der
from iotonboard.pki.crl_entry import encode_entry
from iotonboard.pki.pem import pem_decode_all, pem_encode

MOMENT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "020100"),
        (127, "02017f"),
        (128, "02020080"),
        (255, "020200ff"),
        (256, "02020100"),
        (-1, "0201ff"),
        (-128, "020180"),
    ],
)
def test_integers_take_the_fewest_octets(value: int, expected: str) -> None:
    assert der.integer(value).hex() == expected


@pytest.mark.parametrize("length", [0, 127, 128, 255, 256, 65535, 65536])
def test_lengths_are_the_shortest_and_read_back(length: int) -> None:
    encoded = der.octet_string(b"x" * length)
    element = der.whole(encoded, der.OCTET_STRING)
    assert (element.end - element.begin, element.end) == (length, len(encoded))


def test_object_identifiers() -> None:
    assert der.oid("1.2.840.113549.1.1.11").hex() == "06092a864886f70d01010b"
    assert der.oid("2.999.3").hex() == "0603883703"


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (MOMENT, b"\x17\x0d300102030405Z"),
        (datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), b"\x17\x0d491231235959Z"),
        (datetime(2050, 1, 1, tzinfo=UTC), b"\x18\x0f20500101000000Z"),
        (datetime(2050, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1))), b"\x17\x0d491231233000Z"),
        (datetime(2030, 1, 2, 3, 4, 5, 999999, tzinfo=UTC), b"\x17\x0d300102030405Z"),
    ],
)
def test_times_change_their_form_in_2050(moment: datetime, expected: bytes) -> None:
    assert der.x509_time(moment) == expected


@pytest.mark.parametrize("moment", [datetime(1949, 12, 31, tzinfo=UTC), datetime(2030, 1, 1)])  # noqa: DTZ001
def test_times_that_cannot_be_written_are_refused(moment: datetime) -> None:
    with pytest.raises(PolicyError):
        der.x509_time(moment)


@pytest.mark.parametrize(
    "octets",
    ["", "30", "3001", "3080", "308100", "30817f", "30820001aa", "3f0100", "300500", "3089" + "01" * 9, "3000ff"],
)
def test_the_reader_refuses_what_is_not_der(octets: str) -> None:
    with pytest.raises(PolicyError):
        der.whole(bytes.fromhex(octets))


def test_children_must_end_where_their_parent_ends() -> None:
    octets = bytes.fromhex("30030402aa")
    with pytest.raises(PolicyError):
        list(der.children(octets + b"\xbb", der.read(octets + b"\xbb")))


@pytest.mark.parametrize("size", [1, 47, 48, 49, 96, 1000])
def test_pem_has_lines_of_64_and_reads_back(size: int) -> None:
    content = bytes(range(256))[:size] * (1 + size // 256)
    encoded = pem_encode("X509 CRL", content)
    lines = encoded.decode().splitlines()
    assert (lines[0], lines[-1]) == ("-----BEGIN X509 CRL-----", "-----END X509 CRL-----")
    assert all(len(line) == 64 for line in lines[1:-2])
    assert len(lines[-2]) <= 64
    assert base64.b64decode("".join(lines[1:-1])) == content
    assert pem_decode_all("X509 CRL", encoded) == [content]


def test_several_blocks_with_text_around_and_other_line_ends() -> None:
    blocks = b"subject=x\n" + pem_encode("CERTIFICATE", b"one") + b"\ntext\n" + pem_encode("CERTIFICATE", b"two")
    assert pem_decode_all("CERTIFICATE", blocks.replace(b"\n", b"\r\n")) == [b"one", b"two"]


GOOD = pem_encode("CERTIFICATE", b"content of the block")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"garbage",
        GOOD[:-5],
        GOOD[: len(GOOD) // 2],
        GOOD + GOOD[:30],
        GOOD.replace(b"END CERTIFICATE", b"END X509 CRL"),
        pem_encode("X509 CRL", b"other"),
        GOOD + pem_encode("X509 CRL", b"other"),
        GOOD.replace(b"Y29u", b"Y2*u"),
        GOOD.replace(b"Y29u", b"Y29*u"),
        GOOD.replace(b"Y29u", b"Y29 u"),
        GOOD.replace(b"\n-----END", b"\nAAAA\n-----END"),
        GOOD.replace(b"Y29u", b"Y 9u"),
        GOOD.replace(b"Y29u", b"Y29"),
        pem_encode("CERTIFICATE", b""),
        b"\n".join(GOOD.splitlines()[::-1]),
    ],
)
def test_damaged_pem_is_refused(text: bytes) -> None:
    with pytest.raises(PolicyError):
        pem_decode_all("CERTIFICATE", text)


def test_an_entry_with_and_without_a_reason() -> None:
    serial = SerialNumber(0x80)
    assert encode_entry(serial, MOMENT, RevocationReason.UNSPECIFIED) == (
        bytes.fromhex("30130202 0080 170d".replace(" ", "")) + b"300102030405Z"
    )
    assert encode_entry(serial, MOMENT, RevocationReason.KEY_COMPROMISE) == (
        bytes.fromhex("302102020080170d") + b"300102030405Z" + bytes.fromhex("300c300a0603551d1504030a0101")
    )


def test_revoking_needs_no_cryptographic_library() -> None:
    code = "import sys, iotonboard.pki.crl_entry, iotonboard.pki.pem; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
