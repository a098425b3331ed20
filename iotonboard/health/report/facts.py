"""What the report shows, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.health.finding import Finding


@dataclass(frozen=True, slots=True)
class Count:
    """How many of something, with the label that people read."""

    label: str
    number: int


@dataclass(frozen=True, slots=True)
class Month:
    """One calendar month: devices registered, certificates revoked (but for renewed ones), and those that expire."""

    label: str
    registered: int = 0
    revoked: int = 0
    expiring: int = 0


@dataclass(frozen=True, slots=True)
class CrlSpan:
    """One CRL and the time for which it holds.

    ``standing`` is ``replaced``, ``in force`` or ``to come``; ``is_old``: of a CA whose place another one has taken;
    ``is_of_others``: of a CA that others keep.
    """

    number: int
    this_update: datetime
    next_update: datetime
    revoked: int
    standing: str
    is_old: bool = False
    is_of_others: bool = False


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One row of the trail."""

    seq: int
    time: datetime
    operator: str
    command: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything on the page. ``attributes`` maps an attribute's name to the counts of its commonest values.

    ``listed`` counts the certificates on the CRLs of all CAs.
    """

    title: str
    made_at: datetime
    ca_name: str
    ca_not_after: datetime
    ca_fingerprint: str
    statuses: tuple[Count, ...]
    attributes: tuple[tuple[str, tuple[Count, ...]], ...]
    past: tuple[Month, ...]
    coming: tuple[Month, ...]
    crls: tuple[CrlSpan, ...]
    listed: int
    audit: tuple[AuditLine, ...]
    audit_head: str
    checks: tuple[Finding, ...]

    @property
    def devices(self) -> int:
        """How many devices there are, whatever their status."""
        return sum(count.number for count in self.statuses)
