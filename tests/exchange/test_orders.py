"""Orders of an office as a file: what was signed is read again, and nothing else is."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
from iotonboard.errors import PolicyError
from iotonboard.exchange.journal import TrailPoint
from iotonboard.exchange.orders import (
    LABEL,
    OrderedProduction,
    OrderedRevocation,
    Orders,
    read_orders,
    sign_orders,
    split_orders,
)
from iotonboard.exchange.signed import Signed, statement_of
from iotonboard.model import KeyType, RevocationReason, SerialNumber
from iotonboard.pki.keys import generate_key
from iotonboard.pki.signatures import SoftwareSigner

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ORDERS = Orders(
    "plant", 7, "0123456789abcdef", NOW, TrailPoint(18, bytes(range(32))),
    (OrderedRevocation(3, SerialNumber.from_hex("0A" * 20), "préss 17", RevocationReason.KEY_COMPROMISE, NOW),),
    (OrderedProduction(4, 500, "", NOW), OrderedProduction(5, 1, "sensor", NOW, is_withdrawn=True)),
    "line7-", ("fedcba9876543210",),
)  # fmt: skip


def signed() -> bytes:
    return sign_orders(ORDERS, SoftwareSigner(generate_key(KeyType.EC_P256)), (b"certificate",))


def test_what_was_signed_is_read_again() -> None:
    octets = signed()
    found = split_orders(octets)
    assert read_orders(found) == ORDERS
    assert found.certificates == (b"certificate",)
    assert found.lines() == octets


@pytest.mark.parametrize("end", range(0, 400, 13))
def test_a_file_that_is_cut_off_is_damaged(end: int) -> None:
    with pytest.raises(PolicyError):
        split_orders(signed()[:end])


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"", "damaged"),
        (signed() + b"x", "damaged"),
        (b"iotonboard orders v2\n{}\n\n", "newer version"),
        (b"iotonboard journal v1\n{}\n\n", "no file of orders"),
        (LABEL + b"{}\n%%\n", "cannot be read"),
    ],
)
def test_what_is_no_file_of_orders_says_so(octets: bytes, said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        split_orders(octets)


@pytest.mark.parametrize(
    "change",
    [
        {"number": None}, {"acknowledged": [1]}, {"acknowledged": [1, "zz"]}, {"revocations": [[1]]},
        {"revocations": [[1, "", "a", "keyCompromise", 0]]}, {"revocations": [[1, "0A", "a", "spite", 0]]},
        {"production": [[1, "many", "", 0, False]]}, {"created": 1 << 70}, {"office": None, "production": 4},
        {"number": -1}, {"production": [[1, -5, "", 0, False]]}, {"acknowledged": [-1, "00" * 32]},
        {"acknowledged": [1, "00"]},
    ],
)  # fmt: skip
def test_what_no_version_writes_is_refused(change: dict[str, object]) -> None:
    said = {**json.loads(ORDERS.statement().split(b"\n")[1]), **change}
    with pytest.raises(PolicyError, match="cannot be"):
        read_orders(Signed(statement_of(LABEL, said), b"", ()))
    for nothing in (b"[]", b"{}", b"7", b"[" * 100_000):
        with pytest.raises(PolicyError, match="cannot be"):
            read_orders(Signed(LABEL + nothing + b"\n", base64.b64decode("AAAA"), ()))
