"""The passwords of bundles: always the same for the same certificate and salt, and good to read aloud."""

from __future__ import annotations

import pytest
from iotonboard.ca.vault import Vault, spell
from iotonboard.model import SerialNumber

VAULT = Vault(bytes(range(32)))


def test_a_password_of_the_first_version_is_made_again() -> None:
    assert VAULT.bundle_password(SerialNumber(1 << 100), b"s" * 16) == "6KWYE-JDWA2-68SYF-DW5QP-2E1BQK"


def test_vault_serial_and_salt_all_count() -> None:
    passwords = {
        vault.bundle_password(SerialNumber(serial), salt)
        for vault in (VAULT, Vault(bytes(32)))
        for serial in (1, 2)
        for salt in (b"s" * 16, b"t" * 16)
    }
    assert len(passwords) == 8


@pytest.mark.parametrize(
    ("octets", "spelled"),
    [
        (bytes(16), "00000-00000-00000-00000-000000"),
        (b"\xff" * 16, "7ZZZZ-ZZZZZ-ZZZZZ-ZZZZZ-ZZZZZZ"),
        (bytes(15) + b"\x20", "00000-00000-00000-00000-000010"),
    ],
)
def test_128_bits_are_26_letters_in_five_groups(octets: bytes, spelled: str) -> None:
    assert spell(octets) == spelled


def test_no_letter_is_taken_for_another() -> None:
    letters = set("".join(spell(bytes((number,)) * 16) for number in range(256)))
    assert not letters & set("ILOU")


def test_the_key_is_not_shown() -> None:
    assert repr(VAULT) == "Vault()"
