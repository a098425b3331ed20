"""Shares of a passphrase: any that are enough give it back, whatever it is, and what is wrong with one is named."""

from __future__ import annotations

from itertools import combinations

import pytest
from iotonboard.ca.passphrase import Passphrase, key_file_text, parse_passphrase
from iotonboard.ca.shares import Sheet, check_numbers, join_shares, parse_share, share_text, split_passphrase
from iotonboard.errors import KeyUnavailableError, PolicyError
from iotonboard.pki.words import from_words, to_words

KEY_FILE = parse_passphrase(key_file_text(bytes(range(32))))
MADE_OF = b"\x01\x02\x03\x04"


@pytest.mark.parametrize(
    "passphrase",
    [
        KEY_FILE,
        *(parse_passphrase(text.encode()) for text in ("four unrelated words", "x", "ü" * 13, "a" * 28, "a" * 29)),
        parse_passphrase(b"b" * 250),
    ],
)
def test_every_few_that_are_enough_give_it_back_from_paper(passphrase: Passphrase) -> None:
    sheets = [
        share_text(one, Sheet("Plant 4 CA", "ab" * 32, "2026-05-01"))
        for one in split_passphrase(passphrase, 3, 5, MADE_OF)
    ]
    shares = [parse_share(sheet.upper().replace("# ", "#")) for sheet in sheets]
    for few in combinations(shares, 3):
        assert join_shares(few) == passphrase
    assert join_shares(shares) == passphrase


def test_one_short_of_enough_gives_nothing() -> None:
    shares = split_passphrase(KEY_FILE, 3, 5, MADE_OF)
    with pytest.raises(KeyUnavailableError, match="2 of 3"):
        join_shares([shares[0], shares[1], shares[1]])


def test_shares_do_not_show_the_secret_and_are_new_each_time() -> None:
    first, second = (split_passphrase(KEY_FILE, 2, 2, MADE_OF) for _ in range(2))
    assert {one.blocks for one in first}.isdisjoint({one.blocks for one in second})
    assert not any(bytes(range(8)) in one.blocks for one in first)


def test_shares_of_two_sets_are_told_apart() -> None:
    ours, other = split_passphrase(KEY_FILE, 2, 3, MADE_OF), split_passphrase(KEY_FILE, 2, 3, b"abcd")
    with pytest.raises(KeyUnavailableError, match="different sets"):
        join_shares([ours[0], other[1]])


def test_a_share_that_somebody_made_anew_gives_no_passphrase() -> None:
    ours, other = split_passphrase(KEY_FILE, 2, 3, MADE_OF), split_passphrase(KEY_FILE, 2, 3, MADE_OF)
    with pytest.raises(KeyUnavailableError, match="was changed"):
        join_shares([ours[0], other[1]])


def test_every_wrong_word_is_noticed() -> None:
    words = split_passphrase(KEY_FILE, 2, 2, MADE_OF)[0].words
    for place, word in enumerate(words):
        other = "zoo" if place % 2 else ("abe" if word != "abe" else "ace")
        wrong = [*words[:place], other, *words[place + 1 :]]
        with pytest.raises(KeyUnavailableError):
            parse_share(" ".join(wrong))


@pytest.mark.parametrize("text", ["", "# only a head", "abe", "abe " * 6, "abe " * 12, "abe " * 600, "\0\xff"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(KeyUnavailableError):
        parse_share(text)


@pytest.mark.parametrize(("threshold", "count"), [(1, 1), (1, 5), (4, 3), (2, 17), (0, 0)])
def test_numbers_that_protect_nothing_are_refused(threshold: int, count: int) -> None:
    with pytest.raises(PolicyError):
        check_numbers(threshold, count)


def test_a_passphrase_that_is_too_long_is_refused() -> None:
    with pytest.raises(PolicyError, match="251"):
        split_passphrase(parse_passphrase(b"b" * 251), 2, 2, MADE_OF)


def test_words_are_those_of_the_rfc() -> None:
    """RFC 1751, the examples of its section 3."""
    octets = bytes.fromhex("EB33F77EE73D4053")
    assert to_words(octets) == ["tide", "itch", "slow", "rein", "rule", "mot"]
    assert from_words(["Tide", "itch", "SLOW", "rein", "rule", "mot"]) == octets
