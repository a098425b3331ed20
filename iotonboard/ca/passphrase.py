"""Passphrases of the CA key: what a human types, and the random file that ``--generate-key-file`` makes.

Only that file needs no stretching (RFC 8018 section 4), and only its own form says that it is one: a text in another
encoding, and a file of another program, may look like random octets and be a word.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.disk import beforehand
from iotonboard.disk.files import create_exclusive, write_atomic
from iotonboard.disk.permissions import TAKEN_HINT
from iotonboard.disk.reading import read_file
from iotonboard.errors import ConflictError, KeyUnavailableError, NotFoundError, PolicyError
from iotonboard.store.issuers import are_believed, current_issuers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from iotonboard.state.state import State

RANDOM_OCTETS = 32
MIN_CHARACTERS = 12
SHARES_MADE = "shares"  # single value: the set of shares that was made last of the passphrase in force
TOKEN_SCHEME = b"pkcs11:"  # how the file of a key begins that lies in a token
_MAX_OCTETS = 1 << 16
_MOST_LINES = 9  # CAs that are trusted at once
# What '--generate-key-file' writes: 224 random bits and the beginning of a SHA-256 over a label and them, so
# that nothing that a person typed, and no file of another program, passes for random.
_KEY_FILE = re.compile(r"([0-9a-f]{56})([0-9a-f]{8})")
_KEY_FILE_LABEL = "iotonboard key file 1 "
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# The commonest words in leaked lists that somebody lengthens with digits and signs, as far as they are one thing.
_COMMONEST = frozenset(
    ("abc", "abcd", "abcdef", "abcdefghijkl", "abcdefghijklmn", "admin", "administrator", "changeit", "changeme",
     "default", "dragon", "factory", "hello", "iloveyou", "iotonboard", "letmein", "login", "master", "monkey",
     "mosquitto", "mqtt", "pass", "passphrase", "passw0rd", "password", "princess", "qazwsx", "qazwsxedc", "qwer",
     "qwert", "qwerty", "qwertyuiop", "qwertyuiopas", "qwertyuiopasdf", "qwertz", "qwertzuiop", "qwertzuiopas", "root",
     "secret", "start", "sunshine", "superman", "test", "trustno", "welcome")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Passphrase:
    """The octets that encrypt the CA key, and whether they are random enough to need no slow KDF.

    ``earlier`` is what earlier versions made of the same file, for keys and backups that they encrypted. ``further``:
    what stands on the next lines of a file, for a state whose CAs are opened by more than one secret
    (``secrets_asked``).
    """

    octets: bytes = field(repr=False)
    is_random_key: bool = False
    earlier: bytes | None = field(default=None, repr=False)
    further: tuple[Passphrase, ...] = field(default=(), repr=False)

    @property
    def spellings(self) -> tuple[bytes, ...]:
        """What to try, in this order, when something that is encrypted already is opened."""
        return (self.octets,) if self.earlier is None else (self.octets, self.earlier)


def parse_passphrase_file(content: bytes) -> Passphrase:
    """Read a passphrase file: its first line, as openssl's ``file:`` does.

    Text is taken in UTF-8, in UTF-16 and in Windows-1252, as editors write it, with or without a byte order mark: the
    same words typed at a prompt are the same passphrase. Of octets that are no text the hexadecimal is the passphrase.

    Raises:
        KeyUnavailableError: the file is empty or its first line is.
    """
    earlier = _as_earlier_versions_read(content)
    text = _text_of(content)
    if text is None:
        if len(content) < RANDOM_OCTETS:
            raise _not_text()
        return Passphrase(content.hex().encode("ascii"))
    first, *others = (line.rstrip("\r").encode("utf-8") for line in text.split("\n", _MOST_LINES))
    found = parse_passphrase(first)
    further = tuple(_further(others[: _MOST_LINES - 1]))
    if further or earlier not in {None, found.octets}:
        found = replace(found, further=further, earlier=None if earlier == found.octets else earlier)
    return found


def _further(lines: Sequence[bytes]) -> Iterator[Passphrase]:
    """The passphrases on further lines, up to one that is none: most files have only a first line that counts."""
    with contextlib.suppress(KeyUnavailableError):
        for line in lines:
            yield parse_passphrase(line)


def parse_passphrase(octets: bytes) -> Passphrase:
    """Judge one passphrase: a line that this program made for a key file is random, anything else is a human's.

    Raises:
        KeyUnavailableError: empty, not text, or with a NUL (openssl could not read it).
    """
    text = _text_of(octets)
    if not text or "\0" in text:
        raise _not_text()
    match = _KEY_FILE.fullmatch(text)
    return Passphrase(text.encode("utf-8"), match is not None and match[2] == _checksum(match[1]))


def _not_text() -> KeyUnavailableError:
    return KeyUnavailableError(
        "the passphrase is empty or not text", hint="put it on the first line of the passphrase file"
    )


def _text_of(content: bytes) -> str | None:
    """The text that somebody saved in one of the encodings of editors; ``None`` for octets that are none."""
    if content.startswith(codecs.BOM_UTF16_LE) and len(content) % 2:
        content += b"\0"  # a line that was cut off behind the first octet of its end
    # With control characters it is no text in an encoding without a mark.
    unmarked = () if _has_controls(content) and len(content) >= RANDOM_OCTETS else ("utf-8", "cp1252", "latin-1")
    for mark, encoding in (*_BOMS, *((b"", each) for each in unmarked)):
        if content.startswith(mark):
            with contextlib.suppress(UnicodeDecodeError):
                return content[len(mark) :].decode(encoding)
    return None


def _has_controls(content: bytes) -> bool:
    return any(octet < 32 and octet not in b"\t\r\n" for octet in content)


def _as_earlier_versions_read(content: bytes) -> bytes | None:
    """The passphrase that earlier versions made of a file; ``None`` where they refused it."""
    is_text, octets = True, content.split(b"\n", 1)[0].rstrip(b"\r")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        is_text = False
    if (_has_controls(content) or not is_text) and len(content) >= RANDOM_OCTETS:
        return content.hex().encode("ascii")
    return octets if is_text and octets and b"\0" not in octets else None


def check_strength(passphrase: Passphrase) -> None:
    """Refuse a new passphrase that is guessed within days although it is stretched; key files are never that.

    Raises:
        PolicyError: shorter than 12 characters, one of the commonest, or one thing over and over again.
    """
    text = passphrase.octets.decode("utf-8", "replace")
    letters = re.sub(r"[\W_]+", "", text.casefold())
    stem = letters.strip("0123456789")
    hint = "take four or more unrelated words, or --generate-key-file; --weak takes it as it is"
    if len(text) < MIN_CHARACTERS:
        raise PolicyError(f"the passphrase has fewer than {MIN_CHARACTERS} characters", hint=hint)
    if stem in _COMMONEST or not stem or _is_repetition(letters):
        raise PolicyError("the passphrase is one of the commonest", hint=hint)


def _is_repetition(letters: str) -> bool:
    """Say whether a text is a short part of itself again and again."""
    return any(letters == (letters[:size] * len(letters))[: len(letters)] for size in range(1, len(letters) // 2 + 1))


def _checksum(text: str) -> str:
    return sha256((_KEY_FILE_LABEL + text).encode("ascii")).hexdigest()[:8]


def key_file_text(noise: bytes) -> bytes:
    """The one line of a key file with the first 28 of some random octets: 64 hexadecimal digits."""
    text = noise[:28].hex()
    return f"{text}{_checksum(text)}".encode("ascii")


def generate_key_file(path: str, noise: bytes, *, is_resumed: bool = False) -> Passphrase:
    """Write 32 random octets into a new file (0600), in the form that is known as random, and return its passphrase.

    ``is_resumed``: the file may be there from a call that was interrupted, and is then used; one that is
    still empty was never used and is filled.

    Raises:
        ConflictError: the file exists, and when resumed, is no such file.
        BusyError: the disk refuses.
    """
    text = key_file_text(noise)
    if is_resumed and (found := _made_before(path)):
        return found
    if is_resumed and _is_file(path):
        write_atomic(path, text + b"\n")
    else:
        create_exclusive(path, text + b"\n")
    return Passphrase(text, is_random_key=True)


def check_key_file(path: str) -> None:
    """Refuse a place where ``generate_key_file`` can make no file, and take up none, before anything is asked for.

    Raises:
        ConflictError: something is there that is no such file.
        BusyError: there is no such folder, or it may not be written.
    """
    if os.path.lexists(path) and not _is_file(path):
        raise ConflictError(f"{path!r} exists already", hint=TAKEN_HINT)
    if not _made_before(path):
        beforehand.refuse_unwritable(path)


def _made_before(path: str) -> Passphrase | None:
    """The passphrase of a random key file that is there; ``None`` for an empty file, and where there is none."""
    if not _is_file(path):
        return None
    found = read_file(path, limit=_MAX_OCTETS)
    if not found:
        return None
    passphrase = parse_passphrase_file(found)
    if not passphrase.is_random_key:
        raise ConflictError(f"{path!r} exists and is no random key file", hint=TAKEN_HINT)
    return passphrase


def _is_file(path: str) -> bool:
    return os.path.isfile(path) and not os.path.islink(path)


def key_is_encrypted(state: State) -> bool:
    """Say whether the CA key asks for a passphrase or, in a token, for a PIN; a missing file counts as encrypted.

    Where the row of a CA is not what the trail tells, it may name another file: then each key that is there is asked.
    """
    folder, issuers = state.paths.certs, current_issuers(state.store)
    names = [issuer.key_file for issuer in issuers[:1]]
    if not are_believed(state.store, issuers) and os.path.isdir(folder):
        names += [name for name in os.listdir(folder) if name.endswith(".key")]
    return not names or any(_is_encrypted(os.path.join(folder, name)) for name in names)


def is_in_token(state: State) -> bool:
    """Say whether the key of a CA in force lies in a token."""
    paths = (os.path.join(state.paths.certs, row.key_file) for row in current_issuers(state.store))
    return any((_content_of(path) or b"").startswith(TOKEN_SCHEME) for path in paths)


def _is_encrypted(path: str) -> bool:
    content = _content_of(path)
    return content is None or b"ENCRYPTED" in content or content.startswith(TOKEN_SCHEME)


def _content_of(path: str) -> bytes | None:
    try:
        return read_file(path, limit=_MAX_OCTETS)
    except (NotFoundError, ConflictError):
        return None
