"""A passphrase in shares: as many of them as were agreed give it back, and fewer tell nothing of it.

The arithmetic is PyCryptodome's (``Cryptodome.Protocol.SecretSharing``): Shamir's scheme over blocks of 16 octets, each
with polynomials of its own. Ours is the form of a share: words that can be read aloud, with checksums.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from string import ascii_uppercase
from typing import TYPE_CHECKING, Final

from Cryptodome.Protocol.SecretSharing import Shamir

from iotonboard.ca.passphrase import Passphrase, key_file_text, parse_passphrase
from iotonboard.errors import KeyUnavailableError, PolicyError
from iotonboard.pki.words import GROUP_WORDS, from_words, to_words

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_SHARES: Final = 16
SET_OCTETS: Final = 4
_VERSION: Final = 1
_BLOCK: Final = 16
_HEAD: Final = 4 + SET_OCTETS  # version, how many open it, number, how many there are, set
_SHARE_CHECK: Final = 8
_SECRET_CHECK: Final = 3
_SHORTEST: Final = 2 * _BLOCK
_KEY_FILE_OCTETS: Final = 28
_LONGEST: Final = 250
_WORD = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Share:
    """Share ``number`` of ``count``, of which ``threshold`` open it; those that ``made_of`` the same set fit."""

    number: int
    count: int
    threshold: int
    made_of: bytes
    blocks: bytes = field(repr=False)

    @property
    def words(self) -> list[str]:
        """The share as words; what is read aloud or typed again is checked by groups of six, and as a whole."""
        head = bytes((_VERSION, self.threshold, self.number, self.count)) + self.made_of
        return to_words(head + self.blocks + _checksum(head + self.blocks, _SHARE_CHECK))


def check_numbers(threshold: int, count: int) -> None:
    """Refuse numbers that protect nothing.

    Raises:
        PolicyError: one share would open it, or there are too few or too many.
    """
    if not 2 <= threshold <= count <= MOST_SHARES:
        raise PolicyError(
            f"{count} shares of which {threshold} open the CA are none that protect it",
            hint=f"at least two must be needed, and there can be {MOST_SHARES}, such as --shares 5 --threshold 3",
        )


def split_passphrase(passphrase: Passphrase, threshold: int, count: int, made_of: bytes) -> list[Share]:
    """Split a passphrase into ``count`` shares. ``made_of``: four random octets that name the set.

    Raises:
        PolicyError: the passphrase is too long.
    """
    secret = _packed(passphrase)
    blocks = [secret[begin : begin + _BLOCK] for begin in range(0, len(secret), _BLOCK)]
    split = [dict(Shamir.split(threshold, count, block, ssss=False)) for block in blocks]
    return [
        Share(number, count, threshold, made_of, b"".join(each[number] for each in split))
        for number in range(1, count + 1)
    ]


def join_shares(shares: Sequence[Share]) -> Passphrase:
    """Give back the passphrase.

    Raises:
        KeyUnavailableError: they are too few, of several sets, or one was changed.
    """
    if len({(share.made_of, share.threshold, len(share.blocks)) for share in shares}) > 1:
        raise KeyUnavailableError(
            "the shares are of different sets", hint="compare the set in the first line of each; all must be the same"
        )
    found = {share.number: share.blocks for share in shares}
    wanted, size = shares[0].threshold, len(shares[0].blocks)
    if len(found) < wanted:
        raise KeyUnavailableError(
            f"{len(found)} of {wanted} shares that are needed", hint="name each with a --share-file of its own"
        )
    taken = sorted(found.items())[:wanted]
    starts = range(0, size, _BLOCK)
    secret = [
        Shamir.combine([(number, blocks[at : at + _BLOCK]) for number, blocks in taken], ssss=False) for at in starts
    ]
    return _unpacked(b"".join(secret))


def parse_share(text: str) -> Share:
    """Read a share: lines that begin with ``#`` say what it is, the others are its words, numbered or not.

    Raises:
        KeyUnavailableError: it is no share, or a word is wrong; the message says which.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    try:
        octets = from_words(_WORD.findall(" ".join(lines)))
    except ValueError as error:
        raise KeyUnavailableError(
            f"the share cannot be read: {error}", hint="compare it with what is on paper"
        ) from None
    body, check = octets[:-_SHARE_CHECK], octets[-_SHARE_CHECK:]
    blocks = body[_HEAD:]
    if check != _checksum(body, _SHARE_CHECK) or not blocks or len(blocks) % _BLOCK:
        raise KeyUnavailableError("the share is not as it was written", hint="compare it with what is on paper")
    version, threshold, number, count = body[:4]
    if version != _VERSION:
        raise KeyUnavailableError("the share is of a later version", hint="update the program")
    return Share(number, count, threshold, body[4:_HEAD], blocks)


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a sheet says of its share: of which CA, when it was made, and whether of the recovery passphrase."""

    ca_name: str
    fingerprint: str
    day: str
    is_recovery: bool = False


def share_text(share: Share, of: Sheet) -> str:
    """What stands on the sheet of one person: what it is, how it is used, and the numbered words."""
    words = share.words
    what, verb = ("recovery passphrase", "ca recover") if of.is_recovery else ("passphrase", "gen-crl")
    given = " ".join(f"--share-file {letter}" for letter in ascii_uppercase[: share.threshold])
    lines = [
        f"# iotonboard: share {share.number} of {share.count}, set {share.made_of.hex()}, made on {of.day}",
        f"# of the {what} of the CA {of.ca_name!r}",
        f"# with the fingerprint {of.fingerprint}",
        f"# Any {share.threshold} of them open it: name each with --share-file, such as",
        f"#   iotonboard {verb} {given}",
        "# Fewer tell nothing. Typed again from paper, in any editor, the words below are enough.",
    ]
    for begin in range(0, len(words), GROUP_WORDS):
        group = enumerate(words[begin : begin + GROUP_WORDS], begin + 1)
        lines.append("  ".join(f"{number:>2} {word:<4}" for number, word in group).rstrip())
    return "\n".join(lines) + "\n"


def _packed(passphrase: Passphrase) -> bytes:
    """What is shared: a length and the text, or for a key file 0 and its random octets; filled up, with a checksum."""
    octets = passphrase.octets
    if len(octets) > _LONGEST:
        raise PolicyError(
            f"the passphrase has {len(octets)} octets, and {_LONGEST} can be shared",
            hint="give the CA a shorter one with: iotonboard ca passwd",
        )
    body = (
        bytes(1) + bytes.fromhex(octets.decode("ascii"))[:_KEY_FILE_OCTETS]
        if passphrase.is_random_key
        else (bytes((len(octets),)) + octets)
    )
    size = max(_SHORTEST, -(-(len(body) + _SECRET_CHECK) // _BLOCK) * _BLOCK)
    body = body.ljust(size - _SECRET_CHECK, b"\0")
    return body + _checksum(body, _SECRET_CHECK)


def _unpacked(secret: bytes) -> Passphrase:
    body, length = secret[:-_SECRET_CHECK], secret[0]
    if secret[-_SECRET_CHECK:] != _checksum(body, _SECRET_CHECK):
        raise KeyUnavailableError(
            "the shares do not give a passphrase: one of them was changed", hint="try another one in its place"
        )
    if length == 0:
        return parse_passphrase(key_file_text(body[1 : 1 + _KEY_FILE_OCTETS]))
    return parse_passphrase(body[1 : 1 + length])


def _checksum(octets: bytes, size: int) -> bytes:
    return sha256(b"iotonboard share v1\n" + octets).digest()[:size]
