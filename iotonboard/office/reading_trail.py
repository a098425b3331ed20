"""The office's trail as it is read: verified row by row, and folded to what was decided; each row once for a command.

Believed is what a machine sealed whose certificate is the first one's, or is signed by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.broker.ca_relations import vouched
from iotonboard.errors import StateError
from iotonboard.office import decisions
from iotonboard.pki.key_id import key_id
from iotonboard.pki.verifying import statement_holds
from iotonboard.store.audit import GENESIS, AuditHead
from iotonboard.store.registry import trail

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.office.decisions import Decisions
    from iotonboard.store.registry.registry import Registry

_RESTORE = "an older copy of the registry was put back, or somebody changed it: bring the newest one back"


_NONE = AuditHead(0, GENESIS)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was decided, up to a sealed row and in all. ``problem``: why the trail is not believed.

    ``sealed``: what the rows up to ``head`` decided, from which the next reading goes on; it is never changed.
    ``newest``: the row that was read last.
    """

    head: AuditHead
    sealed: Decisions
    decisions: Decisions
    problem: StateError | None = None
    newest: AuditHead = _NONE


@dataclass(frozen=True, slots=True)
class Believer:
    """Who reads: a machine of a registry, with the row that it saw last.

    ``chain`` (DER): its certificate, and the first machine's.
    """

    registry: str
    seen: AuditHead
    chain: tuple[bytes, ...]


def read_trail(registry: Registry, reader: Believer, before: Reading | None = None) -> Reading:
    """Read what was decided since the reading ``before``, or from the beginning."""
    if before is None or before.problem is not None:
        before = Reading(_NONE, decisions.Decisions(), decisions.Decisions())
    signed = trail.signed_head(registry)
    sealed_until, rows, previous, problem = signed.head.seq if signed else 0, list[trail.TrailRow](), before.head, None
    for row in trail.rows(registry, before.head.seq):
        if row.seq != previous.seq + 1 or not row.follows(previous.hash):
            problem = StateError(f"row {previous.seq + 1} of the office's trail is gone or was changed", hint=_RESTORE)
            break
        rows.append(row)
        previous = AuditHead(row.seq, row.hash)
    if problem is None and not _has(before.head, rows, reader.seen):
        problem = StateError(f"row {reader.seen.seq} of the office's trail is not the one from before", hint=_RESTORE)
    if problem is None and signed and (sealed_until < before.head.seq or not _has(before.head, rows, signed.head)):
        problem = StateError("the sealed head of the office's trail is not that of its rows", hint=_RESTORE)
    try:
        sealed = decisions.fold((row for row in rows if row.seq <= sealed_until), before.sealed, is_sealed=True)
        found = decisions.fold((row for row in rows if row.seq > sealed_until), sealed, is_sealed=False)
    except StateError as error:
        problem, sealed = error, before.sealed
    if problem is None and signed and not _is_sealed(reader, signed, sealed):
        problem = StateError("no trusted machine of the office sealed its trail", hint=_RESTORE)
    if problem is not None:
        return Reading(
            before.head, before.sealed, decisions.fold(rows, before.sealed, is_sealed=False), problem, previous
        )
    return Reading(signed.head if signed else before.head, sealed, found, None, previous)


def _has(start: AuditHead, rows: Sequence[trail.TrailRow], head: AuditHead) -> bool:
    """Say whether a row is the one that was read; of those before ``start`` that was seen when they were read."""
    if head.seq <= start.seq:
        return head.seq < start.seq or head.hash == start.hash or head.seq == 0
    place = head.seq - start.seq - 1
    return place < len(rows) and rows[place].hash == head.hash


def _is_sealed(reader: Believer, signed: trail.MachineHead, found: Decisions) -> bool:
    # What a row says of a machine counts by the first one's signature alone: rows are no proof of themselves.
    trusted = vouched(reader.chain[-1:], (*reader.chain, *found.machines.values()))
    certificates = {key: der for der in trusted if (key := key_id(der)) in found.machines or der in reader.chain}
    statement = trail.head_statement(reader.registry, signed.head)
    certificate = certificates.get(signed.machine)
    return certificate is not None and statement_holds(certificate, statement, signed.signature)
