"""What counts as a passphrase, and what as random octets that need no slow derivation."""

from __future__ import annotations

import pytest
from iotonboard.ca.passphrase import (
    Passphrase,
    check_strength,
    generate_key_file,
    parse_passphrase,
    parse_passphrase_file,
)
from iotonboard.errors import ConflictError, KeyUnavailableError, PolicyError

NOISE = bytes(range(7, 39))
HEX = NOISE.hex()  # what earlier versions wrote into a key file
KEY_FILE = NOISE[:28].hex() + "acab8df2"
WORDS = "grüße aus dem werk"


@pytest.mark.parametrize(
    ("content", "octets", "is_random"),
    [
        (b"typed\n", b"typed", False),
        (b"typed\r\nsecond line\n", b"typed", False),
        (b" blanks stay \n", b" blanks stay ", False),
        (KEY_FILE.encode() + b"\n", KEY_FILE.encode(), True),
        (KEY_FILE.encode("utf-16"), KEY_FILE.encode(), True),  # copied with an editor
        (HEX.encode() + b"\n", HEX.encode(), False),
        (KEY_FILE[:-1].encode() + b"0", KEY_FILE[:-1].encode() + b"0", False),
        (KEY_FILE.upper().encode(), KEY_FILE.upper().encode(), False),
        (b"0123456789" * 7, b"0123456789" * 7, False),
        (bytes(range(32)), bytes(range(32)).hex().encode(), False),
        (b"a tab\tin a text of more than 32 octets", b"a tab\tin a text of more than 32 octets", False),
    ],
)  # fmt: skip
def test_a_file_is_its_first_line_and_random_only_in_the_program_s_form(
    content: bytes, octets: bytes, is_random: bool
) -> None:
    found = parse_passphrase_file(content)
    assert (found.octets, found.is_random_key) == (octets, is_random)


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\r\nsecond line"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"])
@pytest.mark.parametrize("words", [WORDS, "correct horse 1", WORDS * 3])
def test_the_words_are_the_same_in_every_encoding_of_an_editor(words: str, encoding: str, end: str) -> None:
    marks = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
    content = marks.get(encoding, b"") + (words + end).encode(encoding)
    found = parse_passphrase_file(content)
    assert (found.octets, found.is_random_key) == (words.encode(), False)
    assert found.octets == parse_passphrase(words.encode()).octets


def test_what_an_earlier_version_made_of_a_file_is_tried_too() -> None:
    utf16, bom = WORDS.encode("utf-16") * 2, b"\xef\xbb\xbftyped words\n"
    assert parse_passphrase_file(utf16).spellings[1] == utf16.hex().encode()
    assert parse_passphrase_file(bom).spellings == (b"typed words", b"\xef\xbb\xbftyped words")
    assert parse_passphrase_file(b"typed\n").spellings == (b"typed",)


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n", b"\nsecond", b"a\0b", bytes(31), b"\xff\xfe"])
def test_what_is_no_passphrase_is_refused(content: bytes) -> None:
    with pytest.raises(KeyUnavailableError, match="empty or not text"):
        parse_passphrase_file(content)


def test_what_openssl_could_not_read_is_refused() -> None:
    for octets in (b"", b"a\0b"):
        with pytest.raises(KeyUnavailableError):
            parse_passphrase(octets)


@pytest.mark.parametrize(
    "text",
    ["", "short", "elevenchars", "aaaaaaaaaaaaaaa", "123456789012", "Password1234", "password!!!!2024",
     "abcabcabcabcabc", "qwertyuiop12", "iloveyou 123456", "1111-2222-3333", "passwordpassword", "Iotonboard2026!"],
)  # fmt: skip
def test_a_passphrase_that_is_soon_guessed_is_refused(text: str) -> None:
    with pytest.raises(PolicyError, match=r"characters|commonest"):
        check_strength(Passphrase(text.encode()))


@pytest.mark.parametrize(
    "text", ["correct horse battery", "twelve chars", "größer als 12", HEX, KEY_FILE, "Xk3!vM8#qZ2?"]
)
def test_other_passphrases_are_taken(text: str) -> None:
    check_strength(parse_passphrase(text.encode()))


def test_a_generated_file_is_random_and_never_written_over(tmp_path) -> None:
    path = tmp_path / "key"
    made = generate_key_file(str(path), NOISE)
    assert made == Passphrase(KEY_FILE.encode(), is_random_key=True)
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
    assert bytes(range(28)).hex().encode() in again.octets
    assert parse_passphrase_file(path.read_bytes()) == again
    path.write_bytes(b"typed\n")
    with pytest.raises(ConflictError, match="no random key file"):
        generate_key_file(str(path), bytes(range(32)), is_resumed=True)
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(ConflictError):
        generate_key_file(str(link), bytes(range(32)), is_resumed=True)
