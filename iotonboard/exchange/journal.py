"""Journals: everything public that happened at a station since the last one that was taken, in one signed file.

::

    iotonboard journal v1
    {"created":1795520932, ..., "parts":[["trail",17,1234,"<sha256>"], ...]}
    <signature of the station's CA, and certificates that lead from it to its root, base64, separated by blanks>
    <the parts' octets, one after the other, each compressed by itself (zlib, RFC 1950)>

The first two lines with their line feeds are what is signed (``pki/signatures.py``). Nothing of a journal is believed,
and no more of it read than the first lines, before the signature holds of a CA that is trusted.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from iotonboard.errors import PolicyError
from iotonboard.exchange.signed import Signed, sign, split, statement_of
from iotonboard.model import from_epoch, to_epoch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from iotonboard.pki.signatures import Signer

LABEL = b"iotonboard journal v1\n"
TRAIL = "trail"  # the part that comes first: rows of the audit trail, as they are hashed, with their hashes
NO_ACL = "none"  # style of a CA that no broker trusts: one that was added to a station
LARGEST_HEAD = 1 << 20  # octets
_LARGEST_PART = 1 << 32  # octets, of a part that is not compressed
_HINT = "nothing was taken; copy the journal again, or have the station write it anew"


@dataclass(frozen=True, slots=True)
class TrailPoint:
    """A row of a trail by its number and hash; row 0 is before the first one, and its hash is 32 zero octets."""

    row: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a journal: its name, how many rows it has, and size and SHA-256 of its octets as they travel."""

    name: str
    rows: int
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class JournalHead:
    """What a journal says of itself.

    It tells what happened behind the row ``since`` of the station's trail, up to the row ``until``. ``key`` is the CA
    (``pki.key_id``) that signs it. ``acl`` is how the station's ACL is made: ``style`` and ``topics``, templates as in
    the settings; ``NO_ACL`` of a CA whose devices no broker knows. ``office`` and ``order``: the office and the number
    of its newest orders that the station took, empty and 0 before the first.
    """

    key: str
    created: datetime
    since: TrailPoint
    until: TrailPoint
    acl: Mapping[str, Any]
    parts: tuple[Part, ...]
    office: str = ""
    order: int = 0
    program: str = ""

    @property
    def is_full(self) -> bool:
        """Say whether it tells everything from the beginning."""
        return self.since.row == 0

    def statement(self) -> bytes:
        """What is signed."""
        values = {
            "acl": dict(self.acl),
            "created": to_epoch(self.created),
            "key": self.key,
            "office": self.office,
            "order": self.order,
            "parts": [[one.name, one.rows, one.size, one.digest] for one in self.parts],
            "program": self.program,
            "since": [self.since.row, self.since.hash.hex()],
            "until": [self.until.row, self.until.hash.hex()],
        }
        return statement_of(LABEL, values)


class SignedHead(Signed):
    """The head of a journal as it travels."""

    __slots__ = ()

    def read(self) -> JournalHead:
        """What it says; to be asked for once the signature holds.

        Raises:
            PolicyError: no version of the program writes that.
        """
        try:
            return _read_head(self.said)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise PolicyError("the journal says what cannot be", hint=_HINT) from error


def pack_part(name: str, lines: Iterable[bytes]) -> tuple[Part, bytes]:
    """A part made of lines, each one row, and its octets as they travel."""
    squeeze, pieces, rows = zlib.compressobj(6), [], 0
    for line in lines:
        pieces.append(squeeze.compress(line))
        rows += 1
    content = b"".join((*pieces, squeeze.flush()))
    return Part(name, rows, len(content), sha256(content).hexdigest()), content


def unpack_part(part: Part, content: bytes) -> bytes:
    """The lines of a part.

    Raises:
        PolicyError: these are not its octets, or they are larger than any part can be.
    """
    if len(content) != part.size or sha256(content).hexdigest() != part.digest:
        raise PolicyError(f"the part {part.name!r} of the journal is damaged", hint=_HINT)
    try:
        unpacker = zlib.decompressobj()
        lines = unpacker.decompress(content, _LARGEST_PART)
    except zlib.error as error:
        raise PolicyError(f"the part {part.name!r} of the journal is damaged", hint=_HINT) from error
    if not unpacker.eof or unpacker.unused_data or lines.count(b"\n") != part.rows:
        raise PolicyError(f"the part {part.name!r} of the journal is damaged", hint=_HINT)
    return lines


def sign_head(head: JournalHead, signer: Signer, certificates: Sequence[bytes]) -> SignedHead:
    """Sign a head. ``certificates`` (DER): that of the CA, and those above it."""
    return _as_head(sign(head.statement(), signer, tuple(certificates)))


def split_head(octets: bytes) -> tuple[SignedHead, int] | None:
    """The head at the beginning of a file, and where its parts begin; ``None`` as long as the lines are not whole.

    Raises:
        PolicyError: the file is no journal, or one of a newer version.
    """
    found = split(octets, LABEL, "journal", "a station writes one: iotonboard journal --out FILE", largest=LARGEST_HEAD)
    return (_as_head(found[0]), found[1]) if found else None


def _as_head(signed: Signed) -> SignedHead:
    return SignedHead(signed.statement, signed.signature, signed.certificates)


def _read_head(values: dict[str, Any]) -> JournalHead:
    points = [TrailPoint(int(row), bytes.fromhex(digest)) for row, digest in (values["since"], values["until"])]
    acl = {"style": str(values["acl"]["style"]), "topics": [str(one) for one in values["acl"]["topics"]]}
    parts = tuple(Part(str(name), int(rows), int(size), str(digest)) for name, rows, size, digest in values["parts"])
    if any(one.rows < 0 or one.size < 0 for one in parts) or not 0 <= points[0].row <= points[1].row:
        raise ValueError("a number that cannot be")
    return JournalHead(
        str(values["key"]), from_epoch(int(values["created"])), points[0], points[1], acl, parts,
        str(values["office"]), int(values["order"]), str(values["program"]),
    )  # fmt: skip


def encode_trail(rows: Iterable[tuple[Sequence[object], bytes]]) -> Iterator[bytes]:
    """The lines of the trail: of each row its values (number, time and the texts) and its hash."""
    encode = json.JSONEncoder(separators=(",", ":")).encode
    return (encode([*values, digest.hex()]).encode("ascii") + b"\n" for values, digest in rows)
