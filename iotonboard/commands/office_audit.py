"""``audit show``, ``verify`` and ``head`` at an office: its own trail, of what it decided and what it took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.health.trail_check import Verdict, is_cut_off, is_rewritten, parse_head
from iotonboard.model import from_epoch
from iotonboard.store.audit import GENESIS, AuditHead, printable_head
from iotonboard.store.registry import trail
from iotonboard.store.trail_rows import AuditRow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from iotonboard.office.office import Office
    from iotonboard.store.registry.trail import TrailRow


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows are shown; empty or ``None`` means any. ``is_unsealed``: only those that no machine has sealed."""

    subject: str = ""
    command: str = ""
    since: datetime | None = None
    until: datetime | None = None
    is_unsealed: bool = False


def newest(office: Office) -> AuditHead:
    """The newest row."""
    return trail.head(office.registry)


def printable(head: AuditHead) -> str:
    """A head as it is written down."""
    return printable_head(head)


def select_rows(office: Office, chosen: Filter, *, last: int | None = None) -> Iterator[AuditRow]:
    """Rows that match, oldest first; with ``last``, only that many of the newest rows are looked at."""
    since = 0 if last is None else max(newest(office).seq - last, 0)
    signed = trail.signed_head(office.registry)
    if chosen.is_unsealed and signed:
        since = max(since, signed.head.seq)
    for row in map(_shown, trail.rows(office.registry, since)):
        if chosen.subject and row.subject != chosen.subject:
            continue
        if chosen.command and not f"{row.command} ".startswith(f"{chosen.command} "):
            continue
        if (chosen.since and row.time < chosen.since) or (chosen.until and row.time > chosen.until):
            continue
        yield row


def _shown(row: TrailRow) -> AuditRow:
    texts = row.operator, row.host, row.command, row.subject, row.serial, row.detail
    return AuditRow(row.seq, from_epoch(row.time), *texts, row.hash)


def verify(office: Office, carried_head: str = "") -> Verdict:
    """Hold the trail against its chain, its seal, this machine's memory, and a head that was carried away.

    Raises:
        PolicyError: that is no head.
    """
    seq, digits = parse_head(carried_head) if carried_head else (0, "")
    registry, head, signed = office.registry, newest(office), trail.signed_head(office.registry)
    unsealed = trail.count_by_command(registry, signed.head.seq if signed else 0)
    broken, lost, added = _first_broken(office), 0, dict[str, int]()
    problem = office.problem.message if office.problem else ""
    if problem and not broken:
        broken = head.seq + 1
    if digits and not (problem and broken <= seq):
        carried = trail.row_of(registry, seq)
        digest = carried.hash if carried else GENESIS if seq == 0 else None
        if digest is None:
            lost = seq - head.seq
            return Verdict(head.seq, head.seq + 1, is_cut_off(seq, lost), lost, {}, unsealed)
        if not digest.hex().upper().startswith(digits):
            time = from_epoch(carried.time) if carried else None
            return Verdict(head.seq, seq, is_rewritten(seq, time), 0, {}, unsealed)
        added = trail.count_by_command(registry, seq)
    return Verdict(head.seq, broken, problem, lost, added, unsealed)


def _first_broken(office: Office) -> int:
    """The first row that does not follow from the one before; 0 where all do."""
    before = AuditHead(0, GENESIS)
    for row in trail.rows(office.registry):
        if row.seq != before.seq + 1 or not row.follows(before.hash):
            return before.seq + 1
        before = AuditHead(row.seq, row.hash)
    return 0
