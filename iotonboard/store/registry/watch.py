"""What ``health`` asks a registry, station by station."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.model import to_epoch
from iotonboard.store.registry.merge import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from iotonboard.store.registry.registry import Registry


def unlisted(registry: Registry, now: datetime) -> dict[int, int]:
    """How many revocations of each station are younger than the newest list of their CA that has begun.

    Those of certificates that have expired need none.
    """
    query = """SELECT r.station, count(*) FROM revocation r WHERE r.not_after >= ? AND r.revocation_date >
        coalesce((SELECT max(l.this_update) FROM crl l WHERE l.station = r.station AND l.issuer = r.issuer
            AND l.this_update <= ?), 0) GROUP BY r.station"""
    return dict(registry.rows(query, (to_epoch(now), to_epoch(now))))


def kept_digests(registry: Registry) -> dict[int, set[str]]:
    """The digests of the journals that lie in the registry, by their stations."""
    found: dict[int, set[str]] = {}
    for station, digest in registry.rows("SELECT station, digest FROM journal"):
        found.setdefault(station, set()).add(digest)
    return found


def rows_of(registry: Registry, table: str, station: int) -> Iterator[tuple[object, ...]]:
    """The rows of a station in a table, in the order of their keys, octets as such."""
    known = TABLES[table]
    query = f"SELECT {', '.join(known.columns)} FROM {table} WHERE station = ? ORDER BY {', '.join(known.keys)}"
    for row in registry.each_row(query, (station,)):
        yield tuple(bytes(value) if isinstance(value, memoryview | bytearray) else value for value in row)
