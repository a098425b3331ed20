"""What counts as a passphrase, and what as random octets that need no slow derivation."""

from __future__ import annotations

import pytest
from iotonboard.ca.passphrase import Passphrase, generate_key_file, parse_passphrase, parse_passphrase_file
from iotonboard.errors import ConflictError, KeyUnavailableError

HEX = "".join(f"{number:02x}" for number in range(7, 39))  # 32 octets, as '--generate-key-file' writes them


@pytest.mark.parametrize(
    ("content", "octets", "is_random"),
    [
        (b"typed\n", b"typed", False),
        (b"typed\r\nsecond line\n", b"typed", False),
        (b" blanks stay \n", b" blanks stay ", False),
        (HEX.encode() + b"\n", HEX.encode(), True),
        (HEX.upper().encode(), HEX.upper().encode(), True),
        (HEX[:-1].encode(), HEX[:-1].encode(), False),
        (HEX[:-1].encode() + b"g", HEX[:-1].encode() + b"g", False),
        (b"0123456789" * 7, b"0123456789" * 7, True),
        (b"012345678" * 8, b"012345678" * 8, False),  # nine different digits: a person typed this
        (b"aA" * 32, b"aA" * 32, False),
        (b"gr\xc3\xbcn", b"gr\xc3\xbcn", False),
        (bytes(range(32)), bytes(range(32)).hex().encode(), True),
        (b"\xff" * 32, b"ff" * 32, True),
        (b"a tab\tin a text of more than 32 octets", b"a tab\tin a text of more than 32 octets", False),
    ],
)  # fmt: skip
def test_a_file_is_its_first_line_or_random_octets(content: bytes, octets: bytes, is_random: bool) -> None:
    assert parse_passphrase_file(content) == Passphrase(octets, is_random)


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n", b"\nsecond", b"\xff" * 31, b"a\0b", bytes(31)])
def test_what_is_no_passphrase_is_refused(content: bytes) -> None:
    with pytest.raises(KeyUnavailableError, match="empty or not text"):
        parse_passphrase_file(content)


def test_what_openssl_could_not_read_is_refused() -> None:
    for octets in (b"", b"a\0b", b"\xff"):
        with pytest.raises(KeyUnavailableError):
            parse_passphrase(octets)


def test_a_generated_file_is_random_and_never_written_over(tmp_path) -> None:
    path = tmp_path / "key"
    made = generate_key_file(str(path), bytes(range(7, 39)))
    assert made == Passphrase(HEX.encode(), is_random_key=True)
    assert parse_passphrase_file(path.read_bytes()) == made
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConflictError):
        generate_key_file(str(path), bytes(range(32)))
    assert parse_passphrase_file(path.read_bytes()) == made


def test_an_interrupted_call_uses_what_it_left(tmp_path) -> None:
    path = tmp_path / "key"
    made = generate_key_file(str(path), bytes(range(7, 39)))
    assert generate_key_file(str(path), bytes(range(32)), is_resumed=True) == made
    path.write_bytes(b"")
    again = generate_key_file(str(path), bytes(range(32)), is_resumed=True)
    assert again.octets == bytes(range(32)).hex().encode()
    assert parse_passphrase_file(path.read_bytes()) == again
    path.write_bytes(b"typed\n")
    with pytest.raises(ConflictError, match="no random key file"):
        generate_key_file(str(path), bytes(range(32)), is_resumed=True)
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(ConflictError):
        generate_key_file(str(link), bytes(range(32)), is_resumed=True)
