"""Octets as words that two people can read to each other: RFC 1751, which gives eight octets six short words.

Each six words have a checksum of two bits.
"""

from __future__ import annotations

from Cryptodome.Util import RFC1751

GROUP_OCTETS = 8
GROUP_WORDS = 6


def to_words(octets: bytes) -> list[str]:
    """The words of some octets, lower case. ``octets``: a multiple of ``GROUP_OCTETS``."""
    return RFC1751.key_to_english(octets).lower().split()


def from_words(words: list[str]) -> bytes:
    """The octets of words, in any case.

    Raises:
        ValueError: one is no word of the list, some are missing, or a word is wrong in a group of six.
    """
    for place, word in enumerate(words, 1):
        if word.upper() not in RFC1751.wordlist:
            raise ValueError(f"word {place}, {word!r}, is not in the list")
    if len(words) % GROUP_WORDS:
        raise ValueError(f"{len(words)} words are no whole groups of {GROUP_WORDS}")
    groups = [words[begin : begin + GROUP_WORDS] for begin in range(0, len(words), GROUP_WORDS)]
    return b"".join(map(_group, range(1, len(groups) + 1), groups))


def _group(number: int, words: list[str]) -> bytes:
    try:
        return RFC1751.english_to_key(" ".join(words))
    except ValueError:  # its text names no words
        first = (number - 1) * GROUP_WORDS + 1
        raise ValueError(f"a word from {first} to {first + GROUP_WORDS - 1} is not the one that was written") from None
