"""Requests of CAs: what is signed is what is read, and no octet of one can be another."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from iotonboard.errors import PolicyError
from iotonboard.model import KeyType
from iotonboard.pki.ca_profiles import Subject
from iotonboard.pki.ca_request import make_ca_request, read_ca_request, spoken
from iotonboard.pki.keys import spki_der
from iotonboard.pki.pem import pem_encode
from iotonboard.pki.profiles import is_within, parse_name, show_name

from support.pki import signer

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
BEGINS = datetime(1970, 1, 1, tzinfo=UTC)
AFTER = "ab" * 32


def request(key_type: KeyType = KeyType.EC_P256, after: str = AFTER) -> bytes:
    subject = Subject("Station 7", "Works").name().public_bytes()
    key = signer(key_type)
    return make_ca_request(key, subject, spki_der(key.public_key()), after, NOW, BEGINS)


@pytest.mark.parametrize("key_type", KeyType)
@pytest.mark.parametrize("after", ["", AFTER])
def test_a_request_says_what_was_asked(key_type: KeyType, after: str) -> None:
    der = request(key_type, after)
    found = read_ca_request(pem_encode("CERTIFICATE REQUEST", der))
    assert (found.name, found.key_type) == ("Station 7", key_type)
    assert (found.after, found.made_at, found.begins) == (after, NOW, BEGINS)
    assert found.subject_der == Subject("Station 7", "Works").name().public_bytes()
    assert len(found.words.split()) == 12
    assert found == read_ca_request(der)


def test_no_octet_of_a_request_can_be_another() -> None:
    good = request()
    for position in range(len(good)):
        for change in (0x01, 0x80):
            octets = bytearray(good)
            octets[position] ^= change
            with pytest.raises(PolicyError):
                read_ca_request(bytes(octets))


def test_words_say_the_first_half_of_a_digest() -> None:
    assert spoken(bytes(32)) == spoken(bytes(16) + b"\xff" * 16)
    assert spoken(bytes(32)) != spoken(bytes(15) + b"\x01" + bytes(16))


def test_directory_names_are_read_as_they_are_written() -> None:
    for text in ("O=Works", "C=DE, O=Works, OU=Line 4", r"O=Works\, Inc., CN=a"):
        assert show_name(parse_name(text)) == text
    assert show_name(parse_name("ou=b,o=a")) == "O=a, OU=b"
    assert is_within(Subject("x", "WORKS").name(), [parse_name("O=Works")])
    assert not is_within(Subject("x", "Works").name(), [parse_name("O=Work")])
    for text in ("", "Works", "O=", "O=a, O=b", "UID=a", "C=Germany", "O=" + "a" * 65):
        with pytest.raises(PolicyError):
            parse_name(text)
