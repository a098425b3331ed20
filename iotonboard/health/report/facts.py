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
class Attribute:
    """The values of one attribute that most devices have, the largest first, and what is not among them.

    ``values`` counts different values, ``more_devices`` the devices with one that is not ``shown``, and ``without``
    those that lack the attribute. None is shown where every device has a value of its own.
    """

    name: str
    shown: tuple[Count, ...]
    values: int
    more_devices: int
    without: int

    @property
    def more_values(self) -> int:
        """How many values are not shown."""
        return self.values - len(self.shown)


@dataclass(frozen=True, slots=True)
class Month:
    """One calendar month: devices registered, certificates revoked (but for renewed ones), and those that expire.

    Of all months before those that are shown the label is ``earlier``, of all behind them ``later``.
    """

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
class Above:
    """A CA above ours; ``list_ends``: when the newest list of it ends that is here, if there is one."""

    name: str
    not_after: datetime
    fingerprint: str
    list_ends: datetime | None


@dataclass(frozen=True, slots=True)
class Added:
    """A CA that was added to the state, by its ``name``, and how many devices it has; ``list_ends``: when its CRL does.

    Its page is one of its own (``report --ca NAME``).
    """

    name: str
    devices: int
    not_after: datetime
    list_ends: datetime | None
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything on the page, and of what is not on it how much that is.

    ``past`` begins with all months before the last twelve, and ``coming`` ends with all behind the next. ``listed``
    counts the certificates on the CRLs of all CAs. ``more_attributes`` names attributes without figures, and
    ``crls_to_come`` counts the lists of a calendar that are not among ``crls``; ``audit_rows`` counts all rows.
    """

    title: str
    made_at: datetime
    ca_name: str
    ca_not_after: datetime
    ca_fingerprint: str
    above: tuple[Above, ...]
    added: tuple[Added, ...]
    statuses: tuple[Count, ...]
    attributes: tuple[Attribute, ...]
    more_attributes: tuple[str, ...]
    past: tuple[Month, ...]
    coming: tuple[Month, ...]
    crls: tuple[CrlSpan, ...]
    crls_to_come: int
    listed: int
    audit: tuple[AuditLine, ...]
    audit_rows: int
    audit_head: str
    checks: tuple[Finding, ...]

    @property
    def devices(self) -> int:
        """How many devices there are, whatever their status."""
        return sum(count.number for count in self.statuses)
