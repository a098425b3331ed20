"""The store: everything that the database holds, as queries that return model records."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import filterfalse
from operator import itemgetter
from typing import TYPE_CHECKING

from iotonboard.model import Access, TopicRule, to_epoch
from iotonboard.store.devices import KEY, DeviceFilter, IssuerRow, NewCertificate, Registry
from iotonboard.store.revocations import CrlRow, Revocations

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

__all__ = ["CrlRow", "DeviceFilter", "IssuerRow", "NewCertificate", "PendingFiles", "Store"]

# A device whose every certificate is revoked; computed from the revocations, which are few: the plus keeps SQLite
# from walking all certificates instead.
_FULLY_REVOKED = """SELECT c.device FROM revocation r JOIN certificate c ON c.id = +r.certificate
    WHERE c.device IS NOT NULL AND r.not_after >= :listed_since AND NOT EXISTS (
        SELECT 1 FROM certificate o WHERE o.device = c.device AND o.not_after >= :now
        AND NOT EXISTS (SELECT 1 FROM revocation p WHERE p.certificate = o.id))"""
_FEW = 10_000  # ids that are worth keeping in memory, so that SQLite need not look for each of a million


@dataclass(frozen=True, slots=True)
class PendingFiles:
    """One certificate whose files are to be written: for a device (``host`` empty) or a broker."""

    certificate: int
    name: str
    is_broker: bool
    der: bytes
    key_der: bytes | None
    bundle: bytes | None


class Store(Registry, Revocations):
    """One open database."""

    # -- what the broker gets -----------------------------------------------------------------------------------

    def permitted_ids(self, now: datetime) -> Iterator[str]:
        """Ids of devices, in their order, but for the retired and those with a revoked certificate and no valid one."""
        out = f"SELECT id FROM device WHERE retired_at IS NOT NULL UNION {_FULLY_REVOKED}"  # noqa: S608 - constants
        times = {"now": to_epoch(now), "listed_since": 0}
        every = "SELECT device_id FROM device {} ORDER BY device_id"
        few = self._all(f"SELECT device_id FROM device WHERE id IN ({out}) LIMIT {_FEW + 1}", times)  # noqa: S608
        if len(few) > _FEW:  # too many for the memory
            return map(itemgetter(0), self.connection.execute(every.format(f"WHERE id NOT IN ({out})"), times))
        left_out = frozenset(map(itemgetter(0), few))
        return filterfalse(left_out.__contains__, map(itemgetter(0), self.connection.execute(every.format(""))))

    def denied_ids(self, now: datetime, listed_since: datetime) -> list[str]:
        """Ids of devices with a listed revocation and no valid certificate."""
        query = f"SELECT device_id FROM device WHERE id IN ({_FULLY_REVOKED}) ORDER BY device_id"  # noqa: S608
        return [row[0] for row in self._all(query, {"now": to_epoch(now), "listed_since": to_epoch(listed_since)})]

    def extra_topics(self) -> dict[str, list[TopicRule]]:
        """Topic rules of single devices, beside the templates that all get."""
        topics: dict[str, list[TopicRule]] = {}
        # Sorted by an expression: the topics are walked and not the index of all devices.
        query = (
            "SELECT d.device_id || '', t.access, t.topic FROM topic t JOIN device d ON d.id = t.device"
            " ORDER BY 1 COLLATE NOCASE, 2, 3"
        )
        for device_id, access, topic in self._all(query):
            topics.setdefault(device_id, []).append(TopicRule(Access(access), topic))
        return topics

    def device_topics(self, device: int) -> list[TopicRule]:
        """Extra topic rules of one device."""
        query = "SELECT access, topic FROM topic WHERE device = ? ORDER BY access, topic"
        return [TopicRule(Access(access), topic) for access, topic in self._all(query, (device,))]

    def add_topic(self, device: int, rule: TopicRule) -> None:
        """Give one device a topic rule; one that is there already stays."""
        self.connection.execute(
            "INSERT INTO topic (device, access, topic) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (device, rule.access.value, rule.topic),
        )

    def remove_topic(self, device: int, rule: TopicRule) -> bool:
        """Take one of a device's own topic rules; ``True`` when it was there."""
        query = "DELETE FROM topic WHERE device = ? AND access = ? AND topic = ?"
        return self.connection.execute(query, (device, rule.access.value, rule.topic)).rowcount > 0

    # -- publication --------------------------------------------------------------------------------------------

    def add_pending(self, certificate: int, bundle: bytes | None) -> None:
        """Note that a certificate's files are to be written."""
        self.connection.execute(
            "INSERT OR REPLACE INTO pending (certificate, bundle) VALUES (?, ?)", (certificate, bundle)
        )

    def pending(self, limit: int, *, after: int = 0) -> list[PendingFiles]:
        """Files that are to be written, oldest certificate first, of those behind row ``after``."""
        rows = self._all(
            f"SELECT p.certificate, coalesce(d.device_id, c.host), c.host IS NOT NULL, c.der, {KEY}, p.bundle"  # noqa: S608
            " FROM pending p JOIN certificate c ON c.id = p.certificate LEFT JOIN device d ON d.id = c.device"
            " WHERE p.certificate > ? ORDER BY p.certificate LIMIT ?",
            (after, limit),
        )
        return [PendingFiles(row[0], row[1], bool(row[2]), *row[3:]) for row in rows]

    def clear_pending(self, certificates: Iterable[int]) -> None:
        """Note that files were written."""
        self.connection.executemany("DELETE FROM pending WHERE certificate = ?", ((row,) for row in certificates))
