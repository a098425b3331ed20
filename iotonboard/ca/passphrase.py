"""Passphrases of the CA key: what a human types, and the random file that ``--generate-key-file`` makes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from iotonboard.errors import ConflictError, KeyUnavailableError, NotFoundError
from iotonboard.files import create_exclusive, write_atomic
from iotonboard.permissions import TAKEN_HINT
from iotonboard.reading import read_file
from iotonboard.store.issuers import current_issuers

if TYPE_CHECKING:
    from iotonboard.state.state import State

RANDOM_OCTETS = 32
_MAX_OCTETS = 1 << 16
_HEX_DIGITS = "0123456789abcdefABCDEF"
_MIN_DIFFERENT_DIGITS = 10  # of 64 random hexadecimal digits, fewer than 10 different ones do not happen


@dataclass(frozen=True, slots=True)
class Passphrase:
    """The octets that encrypt the CA key, and whether they are random enough to need no slow KDF."""

    octets: bytes = field(repr=False)
    is_random_key: bool = False


def parse_passphrase_file(content: bytes) -> Passphrase:
    """Read a passphrase file: its first line, as openssl's ``file:`` does.

    A file of at least 32 octets that is not text counts as a random key; its hexadecimal is the passphrase.

    Raises:
        KeyUnavailableError: the file is empty or its first line is.
    """
    is_binary = any(octet < 32 and octet not in b"\t\r\n" for octet in content) or not _is_utf8(content)
    if is_binary and len(content) >= RANDOM_OCTETS:
        return Passphrase(content.hex().encode("ascii"), is_random_key=True)
    return parse_passphrase(content.split(b"\n", 1)[0].rstrip(b"\r"))


def parse_passphrase(octets: bytes) -> Passphrase:
    """Judge one passphrase: 64 or more hexadecimal digits are a random key, anything else is a human's.

    Raises:
        KeyUnavailableError: empty, not UTF-8, or with a NUL (openssl could not read it).
    """
    if not octets or b"\0" in octets or not _is_utf8(octets):
        raise KeyUnavailableError(
            "the passphrase is empty or not text", hint="put it on the first line of the passphrase file"
        )
    text = octets.decode("utf-8")
    is_hex = len(text) >= RANDOM_OCTETS * 2 and not text.strip(_HEX_DIGITS)
    is_random = is_hex and len(set(text.lower())) >= _MIN_DIFFERENT_DIGITS
    return Passphrase(octets, is_random)


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def generate_key_file(path: str, noise: bytes, *, is_resumed: bool = False) -> Passphrase:
    """Write 32 random octets as hexadecimal into a new file (0600) and return them as the passphrase.

    ``is_resumed``: the file may be there from a call that was interrupted, and is then used; one that is
    still empty was never used and is filled.

    Raises:
        ConflictError: the file exists, and when resumed, is no such file.
        BusyError: the disk refuses.
    """
    text = noise.hex().encode("ascii")
    if is_resumed and os.path.isfile(path) and not os.path.islink(path):
        if found := read_file(path, limit=_MAX_OCTETS):
            passphrase = parse_passphrase_file(found)
            if passphrase.is_random_key:
                return passphrase
            raise ConflictError(f"{path!r} exists and is no random key file", hint=TAKEN_HINT)
        write_atomic(path, text + b"\n")
    else:
        create_exclusive(path, text + b"\n")
    return Passphrase(text, is_random_key=True)


def key_is_encrypted(state: State) -> bool:
    """Say whether the CA key file asks for a passphrase; a missing file counts as encrypted."""
    try:
        content = read_file(
            os.path.join(state.paths.certs, current_issuers(state.store)[0].key_file), limit=_MAX_OCTETS
        )
    except (NotFoundError, ConflictError, IndexError):
        return True
    return b"ENCRYPTED" in content
