"""Notes of an office's stations; what is decided of them stands in the trail (``office/decisions.py``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.model import to_epoch
from iotonboard.store.audit import GENESIS, AuditHead

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.store.registry.registry import Registry


def next_station(registry: Registry) -> int:
    """The number of a station that is new."""
    return int(registry.row("SELECT coalesce(max(id), 0) + 1 FROM station")[0])


def add_station(registry: Registry, number: int, name: str, certificate: bytes, now: datetime) -> None:
    """Note a station that is trusted from now on, of which nothing was taken, in the caller's transaction."""
    registry.execute(
        "INSERT INTO station (id, name, certificate, prefix, trusted_at, until_row, until_hash, answered, has_acl)"
        " VALUES (?, ?, ?, '', ?, 0, ?, 0, 1)",
        (number, name, certificate, to_epoch(now), GENESIS),
    )


def remove_station(registry: Registry, number: int, now: datetime) -> None:
    """Note that a station is trusted no more; its rows stay."""
    registry.execute("UPDATE station SET removed_at = ? WHERE id = ?", (to_epoch(now), number))


def set_prefix(registry: Registry, number: int, prefix: str) -> None:
    """Note how the ids of a station begin."""
    registry.execute("UPDATE station SET prefix = ? WHERE id = ?", (prefix, number))


def set_taken(registry: Registry, number: int, until: AuditHead, created: datetime, *, has_acl: bool) -> None:
    """Note up to which row of a station's trail its journals are taken, and when the newest was written.

    ``has_acl``: brokers know its devices; not those of a CA that was added to a station.
    """
    registry.execute(
        "UPDATE station SET until_row = ?, until_hash = ?, created = ?, has_acl = ? WHERE id = ?",
        (until.seq, until.hash, to_epoch(created), int(has_acl), number),
    )


def set_answered(registry: Registry, number: int, order: int) -> None:
    """Note the number of the newest orders that a station has taken, as its journal says."""
    registry.execute("UPDATE station SET answered = ? WHERE id = ?", (order, number))


@dataclass(frozen=True, slots=True)
class StationNote:
    """What the registry notes of a station. Moments are epochs, ``None`` before the first journal.

    ``created``: of its newest journal. ``devices``: those that are not retired. ``crl_ends``: when the first of the
    lists ends that are the newest of its CAs.
    """

    id: int
    created: int | None
    devices: int
    certificates: int
    revoked: int
    crl_ends: int | None


def station_notes(registry: Registry) -> dict[int, StationNote]:
    """The notes of all stations by their numbers."""
    query = """SELECT s.id, s.created,
        (SELECT count(*) FROM device d WHERE d.station = s.id AND d.retired_at IS NULL),
        (SELECT count(*) FROM certificate c WHERE c.station = s.id),
        (SELECT count(*) FROM revocation r WHERE r.station = s.id),
        (SELECT min(n.ends) FROM (SELECT max(l.next_update) AS ends FROM crl l JOIN issuer i
            ON i.station = l.station AND i.id = l.issuer
            WHERE l.station = s.id AND i.retired_at IS NULL GROUP BY l.issuer) n)
        FROM station s"""
    return {row[0]: StationNote(*row) for row in registry.rows(query)}


def count_other_ids(registry: Registry, number: int, prefix: str) -> int:
    """How many devices of a station that are not retired have an id that does not begin so, in lower case."""
    query = "SELECT count(*) FROM device WHERE station = ? AND retired_at IS NULL AND substr(folded, 1, ?) <> ?"
    return int(registry.row(query, (number, len(prefix), prefix))[0])


def issuer_certificates(registry: Registry, number: int) -> list[bytes]:
    """The own certificates (DER) of a station's CAs, of which it told."""
    return [bytes(row[0]) for row in registry.rows("SELECT der FROM issuer WHERE station = ? ORDER BY id", (number,))]


def device_names(registry: Registry, number: int) -> dict[int, str]:
    """The ids of a station's devices, by their rows."""
    return dict(registry.rows("SELECT id, device_id FROM device WHERE station = ?", (number,)))
