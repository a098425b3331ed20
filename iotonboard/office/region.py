"""Which change of an office the region of its ACL is: the newest row of its trail that changes what is given out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.broker.region import Change
from iotonboard.office import decisions
from iotonboard.pki.key_id import key_id
from iotonboard.store.registry import trail

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.office.office import Office

# A broker that was not visited for longer takes any region for an earlier one of the office.
KEPT = 4096
_COUNT = frozenset({decisions.TRUST, decisions.DISTRUST, decisions.TAKEN, decisions.REVOKE, decisions.CLOSE})


def changes(office: Office) -> list[Change]:
    """The newest changes, the last one first; none before a station was trusted."""
    key = key_id(office.chain[-1])
    rows = (row for row in trail.newest_rows(office.registry) if row.said.get(decisions.DECISION) in _COUNT)
    return [Change(row.seq, key, row.seq, row.hash.hex()[:16]) for row, _ in zip(rows, range(KEPT), strict=False)]


def first(found: Sequence[Change], office: Office) -> Change:
    """The change that the region has now."""
    return found[0] if found else Change(0, key_id(office.chain[-1]))
