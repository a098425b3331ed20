"""The rows of a station's trail as a journal tells them: whether they are chained, and which CAs they tell of."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from iotonboard.errors import PolicyError
from iotonboard.exchange.journal import TRAIL, TrailPoint, unpack_part
from iotonboard.pki.key_id import name_and_key
from iotonboard.pki.verifying import statement_holds
from iotonboard.store.audit import CA, chain
from iotonboard.store.succession import VOUCHED, recovery_statement, succession_statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from iotonboard.exchange.journal import JournalHead

_TEXTS = 6  # of a row: operator, host, command, subject, serial, detail
_SUCCESSIONS = frozenset(
    {"init-ca", "ca rollover", "ca replace", "ca recover", "ca recovery-passphrase", "restore"}
)  # the commands that tell of CAs (``store/audit.py``)
_HEX = re.compile(r"(?:[0-9a-f]{2})*")
_BROKEN = "at the station: iotonboard health --deep; nothing was taken"


@dataclass(frozen=True, slots=True)
class ToldTrail:
    """Rows that are chained from ``since`` on: their hashes in order, and what is told of CAs."""

    since: TrailPoint
    hashes: Sequence[bytes]
    cas: Sequence[dict[str, Any]]

    def hash_at(self, row: int) -> bytes | None:
        """The hash of a row; ``None`` where this does not tell of it."""
        if row == self.since.row:
            return self.since.hash
        place = row - self.since.row - 1
        return self.hashes[place] if 0 <= place < len(self.hashes) else None


def read_trail(head: JournalHead, parts: Mapping[str, bytes]) -> ToldTrail:
    """Read the trail of a journal.

    Raises:
        PolicyError: its rows are not chained from where the head says to where it says.
    """
    part = next((one for one in head.parts if one.name == TRAIL), None)
    lines = unpack_part(part, parts[TRAIL]).splitlines() if part else []
    hashes, cas, previous = list[bytes](), list[dict[str, Any]](), head.since.hash
    try:
        for seq, line in enumerate(lines, start=head.since.row + 1):
            number, time, *texts, digest = json.loads(line)
            found = chain(previous, seq, time, *texts)
            if number != seq or len(texts) != _TEXTS or found.hex() != digest:
                raise PolicyError(f"row {seq} of the trail in the journal does not follow the one before", hint=_BROKEN)
            hashes.append(previous := found)
            if texts[3] == CA and texts[4] and texts[2] in _SUCCESSIONS:
                said = json.loads(texts[5])
                cas += [said] if isinstance(said, dict) else []
    except (ValueError, TypeError, RecursionError) as error:
        raise PolicyError("the trail in the journal cannot be read", hint=_BROKEN) from error
    if len(hashes) != head.until.row - head.since.row or previous != head.until.hash:
        raise PolicyError("the trail in the journal does not end where the journal says", hint=_BROKEN)
    return ToldTrail(head.since, hashes, cas)


@dataclass(frozen=True, slots=True)
class Believed:
    """Whose journals are believed: CAs (DER), and the key that may name the next one."""

    cas: tuple[bytes, ...]
    recovery: bytes = b""


def succeed(before: Believed, told: ToldTrail, certificates: Iterable[bytes]) -> Believed:
    """Who is believed behind a trail: a CA that one before vouched for too, and none that ended.

    ``certificates``: DER of those that may be told of, by their fingerprints. A CA is known by its key: below a root it
    has another certificate than before.
    """
    by_fingerprint = {sha256(der).hexdigest(): der for der in (*certificates, *before.cas)}
    cas, recovery = {_key(der): der for der in before.cas}, before.recovery
    for said in told.cas:
        new, named = by_fingerprint.get(_text(said, "fingerprint")), _text(said, "recovery")
        if new is not None:
            statement = succession_statement(_text(said, "fingerprint"))
            signers = (*cas.values(), *([recovery] if recovery else []))
            if any(_signed(der, statement, said.get(VOUCHED)) for der in signers):
                cas.setdefault(_key(new), new)
        by = by_fingerprint.get(_text(said, "by"), b"")
        if by and _key(by) in cas and _signed(by, recovery_statement(named), said.get("signature")):
            recovery = bytes.fromhex(named)
    ended = [by_fingerprint.get(_text(said, word)) for said in told.cas for word in ("retired", "compromised")]
    gone = {_key(der) for der in ended if der is not None}
    return Believed(tuple(der for key, der in cas.items() if key not in gone) or before.cas, recovery)


def _text(said: Mapping[str, Any], word: str) -> str:
    """What a row says in hexadecimal, as every word that is asked for here; empty where it is something else."""
    value = said.get(word)
    return value if isinstance(value, str) and _HEX.fullmatch(value) else ""


def _key(der: bytes) -> bytes:
    return name_and_key(der)[1]


def _signed(der: bytes, statement: bytes, signature: object) -> bool:
    try:
        return isinstance(signature, str) and statement_holds(der, statement, bytes.fromhex(signature))
    except ValueError:
        return False
