"""An office's own audit trail: rows chained as a station's are, and the heads that the office's machines signed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iotonboard.model import to_epoch
from iotonboard.store.audit import COLUMNS, GENESIS, AuditHead, chain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from iotonboard.model import Caller
    from iotonboard.store.registry.registry import Registry

_detail = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


@dataclass(frozen=True, slots=True)
class TrailRow:
    """One row as it stands, with the hash that it should have behind the one before."""

    seq: int
    time: int
    operator: str
    host: str
    command: str
    subject: str
    serial: str
    detail: str
    hash: bytes

    @property
    def said(self) -> dict[str, Any]:
        """The detail; empty where it is none."""
        try:
            said = json.loads(self.detail)
        except (ValueError, TypeError, RecursionError):
            return {}
        return said if isinstance(said, dict) else {}

    def follows(self, previous: bytes) -> bool:
        """Say whether this is the row that was appended behind one with that hash."""
        texts = (self.operator, self.host, self.command, self.subject, self.serial, self.detail)
        try:
            return chain(previous, self.seq, self.time, *texts) == self.hash
        except (TypeError, ValueError):  # of types that no row has
            return False


@dataclass(frozen=True, slots=True)
class MachineHead:
    """A head of the trail that a machine of the office signed."""

    head: AuditHead
    machine: str
    signature: bytes


def head(registry: Registry) -> AuditHead:
    """Number and hash of the newest row."""
    row = registry.row("SELECT seq, hash FROM trail ORDER BY seq DESC LIMIT 1")
    return AuditHead(0, GENESIS) if row is None else AuditHead(row[0], _digest(row[1]))


def _digest(value: object) -> bytes:
    """A hash or a signature; of what is none, one that fits nothing, so that the trail is not believed."""
    return value if isinstance(value, bytes) else b""


def append(
    registry: Registry,
    caller: Caller,
    now: datetime,
    *,
    subject: str,
    serial: str = "",
    detail: Mapping[str, object],
) -> AuditHead:
    """Record one decision inside the caller's transaction."""
    last = head(registry)
    seq, time = last.seq + 1, to_epoch(now)
    texts = (caller.operator, caller.host, caller.command, subject, serial, _detail(detail))
    digest = chain(last.hash, seq, time, *texts)
    query = f"INSERT INTO trail ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    registry.execute(query, (seq, time, *texts, digest))
    return AuditHead(seq, digest)


def rows(registry: Registry, since_seq: int = 0) -> Iterator[TrailRow]:
    """The rows behind one, in their order."""
    query = f"SELECT {COLUMNS} FROM trail WHERE seq > ? ORDER BY seq"
    found = registry.rows(query, (since_seq,)) if since_seq else registry.each_row(query, (0,))  # all may be many
    yield from map(_row, found)


def newest_rows(registry: Registry) -> Iterator[TrailRow]:
    """The rows, newest first."""
    yield from map(_row, registry.each_row(f"SELECT {COLUMNS} FROM trail ORDER BY seq DESC"))


def _row(row: Sequence[Any]) -> TrailRow:
    seq, time, operator, host, command, subject, serial, detail, digest = row
    return TrailRow(seq, time, operator, host, command, subject, serial, detail, _digest(digest))


def rows_about(registry: Registry, subject: str) -> Iterator[TrailRow]:
    """The rows about something, in their order."""
    query = f"SELECT {COLUMNS} FROM trail WHERE subject = ? ORDER BY seq"
    yield from map(_row, registry.each_row(query, (subject,)))


def row_of(registry: Registry, seq: int) -> TrailRow | None:
    """One row; ``None`` when it is not there."""
    query = f"SELECT {COLUMNS} FROM trail WHERE seq = ?"
    return next(map(_row, registry.rows(query, (seq,))), None)


def count_by_command(registry: Registry, since_seq: int) -> dict[str, int]:
    """How many rows each command added behind one, in their order."""
    query = "SELECT command, count(*), min(seq) FROM trail WHERE seq > ? GROUP BY command ORDER BY 3"
    return {command: count for command, count, _ in registry.rows(query, (since_seq,))}


def signed_head(registry: Registry) -> MachineHead | None:
    """The head that was signed last."""
    row = registry.row("SELECT seq, hash, machine, signature FROM trail_head ORDER BY seq DESC LIMIT 1")
    return None if row is None else MachineHead(AuditHead(row[0], _digest(row[1])), row[2], _digest(row[3]))


def set_signed_head(registry: Registry, signed: MachineHead) -> None:
    """Keep a signature in place of the one before, inside the caller's transaction."""
    registry.execute("DELETE FROM trail_head")
    query = "INSERT INTO trail_head (seq, hash, machine, signature) VALUES (?, ?, ?, ?)"
    registry.execute(query, (signed.head.seq, signed.head.hash, signed.machine, signed.signature))


def head_statement(registry_id: str, newest: AuditHead) -> bytes:
    """The octets that a machine signs for a head; the label keeps them apart from anything else."""
    return b"iotonboard office head v1\n%s\n%d\n%s\n" % (
        registry_id.encode("ascii"),
        newest.seq,
        newest.hash.hex().encode("ascii"),
    )
