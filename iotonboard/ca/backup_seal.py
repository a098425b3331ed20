"""What makes a backup one thing: the comment at its end, and the keys that are derived of the passphrase.

Salt and rounds of PBKDF2-HMAC-SHA256 (RFC 8018) stand in the comment. Of its 256 bits HMAC-SHA256 derives, each under a
label of its own, the ZIP's password, a check of the passphrase, and the key of the seal, which is the HMAC-SHA256 of
every octet before it. Format 1 had no seal, and the passphrase's 128 bits were the ZIP's password.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from iotonboard.ca.vault import spell
from iotonboard.disk.files import changing
from iotonboard.errors import KeyUnavailableError, PolicyError
from iotonboard.pki.keys import HUMAN_ITERATIONS

if TYPE_CHECKING:
    from io import FileIO
    from typing import BinaryIO

    from iotonboard.ca.passphrase import Passphrase

SEALED: Final = 2  # the format that is written
UNSEALED: Final = 1  # that of earlier versions
ANOTHER_COPY = "use another copy of the backup"
_MAX_ITERATIONS = 10_000_000  # some seconds; more would only keep the machine busy
_SEAL_DIGITS = 64
_TAIL = re.compile(
    rb"iotonboard backup v2 salt=([0-9a-f]{32}) iterations=([1-9][0-9]{0,8}) check=([0-9a-f]{16})"
    rb"(?: opener=([A-Za-z0-9+/=]{4,8000}))? seal=[0-9a-f]{64}"
)
_TAIL_1 = re.compile(rb"iotonboard backup v1 salt=([0-9a-f]{32}) iterations=([1-9][0-9]{0,8})")
_NEWER = re.compile(rb"iotonboard backup v(?:[3-9]|[1-9][0-9]+) ")
_LONGEST_TAIL = 8400
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Keys:
    """What is derived of a passphrase for one archive."""

    password: bytes = field(repr=False)
    check: bytes = field(repr=False)
    seal: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tail:
    """What the comment of a backup says; ``check`` is empty in one of format 1.

    ``opener``: what finds its passphrase, where that is not given by people (``backup_opener``); else empty.
    """

    salt: bytes
    iterations: int
    check: bytes
    opener: bytes = b""


def derive_keys(passphrase: Passphrase, salt: bytes, iterations: int = HUMAN_ITERATIONS) -> Keys:
    """Stretch a passphrase, a random one too, for one archive."""
    stretched = hashlib.pbkdf2_hmac("sha256", passphrase.octets, salt, iterations, 32)
    password, check, seal = (
        hmac.digest(stretched, b"iotonboard backup %s v2" % label, "sha256")
        for label in (b"password", b"check", b"seal")
    )
    return Keys(password[:16].hex().encode("ascii"), check[:8].hex().encode("ascii"), seal)


def unsealed_comment(salt: bytes, keys: Keys, opener: bytes = b"") -> bytes:
    """The comment of an archive, with zeros in the place of its seal; ``opener``: as in ``Tail``."""
    begin = b"iotonboard backup v2 salt=%s iterations=%d" % (salt.hex().encode("ascii"), HUMAN_ITERATIONS)
    said = b" opener=" + opener if opener else b""
    return begin + b" check=%s%s seal=%s" % (keys.check, said, b"0" * _SEAL_DIGITS)


def seal_file(path: str, keys: Keys) -> None:
    """Write the seal over the zeros at the end of a file.

    Raises:
        BusyError: the disk refuses.
    """
    with changing(path) as file:
        seal = _seal_of(file, keys)
        file.seek(-_SEAL_DIGITS, os.SEEK_END)
        file.write(seal)


def authenticate(file: BinaryIO, path: str, tail: Tail, secret: Passphrase | Keys) -> bytes:
    """Hold every octet of a file against its seal; returns the ZIP's password. ``secret`` may be stretched already.

    Raises:
        KeyUnavailableError: the passphrase does not open it.
        PolicyError: an octet is not what it was.
    """
    keys = secret if isinstance(secret, Keys) else derive_keys(secret, tail.salt, tail.iterations)
    if not hmac.compare_digest(keys.check, tail.check):
        raise wrong_passphrase()
    expected = _seal_of(file, keys)
    file.seek(-_SEAL_DIGITS, os.SEEK_END)
    if not hmac.compare_digest(expected, file.read()):
        raise damaged(path, "it is not what was sealed when it was made")
    return keys.password


def _seal_of(file: BinaryIO | FileIO, keys: Keys) -> bytes:
    left = file.seek(0, os.SEEK_END) - _SEAL_DIGITS
    file.seek(0)
    mac = hmac.new(keys.seal, digestmod="sha256")
    while left > 0 and (piece := file.read(min(_CHUNK, left))):
        mac.update(piece)
        left -= len(piece)
    return mac.hexdigest().encode("ascii")


def unsealed_passwords(path: str, tail: Tail, passphrase: Passphrase) -> list[bytes]:
    """What the ZIP's password can be in format 1, which stretched all but 64 hexadecimal digits or more.

    Raises:
        PolicyError: it asks for fewer rounds than any backup did.
    """
    spellings = [
        octets
        for octets in passphrase.spellings
        if tail.iterations >= HUMAN_ITERATIONS or re.fullmatch(rb"[0-9a-fA-F]{64,}", octets)
    ]
    if not spellings:
        raise _no_such_rounds(path, tail.iterations)
    stretched = [hashlib.pbkdf2_hmac("sha256", octets, tail.salt, tail.iterations, 16) for octets in spellings]
    return [spell(octets).encode("ascii") for octets in stretched]


def read_tail(file: BinaryIO, path: str, expected: int) -> Tail:
    """Read what a backup of the ``expected`` format ends with; nothing of it is believed yet.

    Raises:
        PolicyError: no backup, one of another format, or rounds that no backup has.
    """
    file.seek(max(file.seek(0, os.SEEK_END) - _LONGEST_TAIL, 0))
    end = file.read(_LONGEST_TAIL)
    comment = end[max(end.rfind(b"iotonboard backup v"), 0) :]
    sealed, unsealed = _TAIL.fullmatch(comment), _TAIL_1.fullmatch(comment)
    if unsealed and expected == SEALED:
        raise PolicyError(
            f"{path!r} was made by an earlier version, and nothing in it shows what was left out or exchanged",
            hint="make a new one where the state still works; where there is none, name it: --format 1",
        )
    if sealed and expected == UNSEALED:
        raise PolicyError(f"{path!r} is not of format 1", hint="leave --format out")
    match = sealed or unsealed
    if match is None:
        raise _no_backup(path, comment)
    check, opener = (match[3], match[4] or b"") if sealed else (b"", b"")
    tail = Tail(bytes.fromhex(match[1].decode("ascii")), int(match[2]), check, opener)
    if not (HUMAN_ITERATIONS if sealed else 1) <= tail.iterations <= _MAX_ITERATIONS:
        raise _no_such_rounds(path, tail.iterations)
    return tail


def _no_backup(path: str, comment: bytes) -> PolicyError:
    if _NEWER.match(comment):
        return PolicyError(f"{path!r} was made by a newer version", hint="restore it with that version")
    return PolicyError(
        f"{path!r} is not a backup that 'iotonboard backup' made, or its end is missing or was changed",
        hint="check the file's name, or use another copy",
    )


def _no_such_rounds(path: str, iterations: int) -> PolicyError:
    return PolicyError(f"{path!r} asks for {iterations} rounds of PBKDF2: no backup does", hint=ANOTHER_COPY)


def wrong_passphrase() -> KeyUnavailableError:
    """The error for a passphrase that is not the backup's."""
    return KeyUnavailableError(
        "the passphrase does not open this backup", hint="use the passphrase that the CA had when it was made"
    )


def damaged(path: str, reason: str) -> PolicyError:
    """The error for a backup that is not what it was."""
    return PolicyError(f"{path!r} is damaged or was changed: {reason}", hint=ANOTHER_COPY)
