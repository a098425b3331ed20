"""The rows of a station's trail as a journal tells them: whether they are chained, and which CAs they tell of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from iotonboard.errors import PolicyError
from iotonboard.exchange.journal import TRAIL, TrailPoint, unpack_part
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

    ``certificates``: DER of those that may be told of.
    """
    by_fingerprint = {sha256(der).hexdigest(): der for der in (*certificates, *before.cas)}
    cas, recovery = {sha256(der).hexdigest(): der for der in before.cas}, before.recovery
    for said in told.cas:
        new, key, by = (said.get(word) for word in ("fingerprint", "recovery", "by"))
        if isinstance(new, str) and new in by_fingerprint:
            signers = (*cas.values(), *([recovery] if recovery else []))
            if any(_signed(der, succession_statement(new), said.get(VOUCHED)) for der in signers):
                cas[new] = by_fingerprint[new]
        ca = cas.get(by) if isinstance(by, str) else None
        if isinstance(key, str) and ca is not None and _signed(ca, recovery_statement(key), said.get("signature")):
            recovery = bytes.fromhex(key)
    ended = [said.get(word) for said in told.cas for word in ("retired", "compromised")]
    left = tuple(der for fingerprint, der in cas.items() if fingerprint not in ended)
    return Believed(left or before.cas, recovery)


def _signed(der: bytes, statement: bytes, signature: object) -> bool:
    try:
        return isinstance(signature, str) and statement_holds(der, statement, bytes.fromhex(signature))
    except ValueError:
        return False
