"""Journals as they came, beside the rows that were made of them: what is given out is derived from these again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.model import to_epoch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from iotonboard.store.registry.registry import Registry


@dataclass(frozen=True, slots=True)
class KeptJournal:
    """A journal of a station: the how-manieth, its first three lines, and the rows of the trail that it tells of."""

    station: int
    number: int
    head: bytes
    since_row: int
    until_row: int


def add_journal(
    registry: Registry,
    kept: KeptJournal,
    digest: str,
    parts: Mapping[str, bytes],
    *,
    created: datetime,
    now: datetime,
    machine: str,
) -> None:
    """Keep a journal, in the caller's transaction; ``parts``: octets as they travel, ``machine``: who takes it."""
    registry.execute(
        "INSERT INTO journal (station, number, digest, head, since_row, until_row, created, taken_at, machine)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            kept.station, kept.number, digest, kept.head, kept.since_row, kept.until_row, to_epoch(created),
            to_epoch(now), machine,
        ),
    )  # fmt: skip
    query = "INSERT INTO journal_part (station, number, name, octets) VALUES (?, ?, ?, ?)"
    registry.execute_many(query, [(kept.station, kept.number, name, octets) for name, octets in parts.items()])


def journals(registry: Registry, station: int, *, behind: int = 0) -> list[KeptJournal]:
    """The journals of a station behind a number, in their order."""
    query = """SELECT station, number, head, since_row, until_row FROM journal WHERE station = ? AND number > ?
        ORDER BY number"""
    return [_kept(*row) for row in registry.rows(query, (station, behind))]


def journals_with_row(registry: Registry, station: int, row: int) -> list[KeptJournal]:
    """The journals that tell of a row of the station's trail, newest first."""
    query = """SELECT station, number, head, since_row, until_row FROM journal
        WHERE station = ? AND since_row < ? AND until_row >= ? ORDER BY number DESC"""
    return [_kept(*one) for one in registry.rows(query, (station, row, row))]


def _kept(station: int, number: int, head: object, since_row: int, until_row: int) -> KeptJournal:
    return KeptJournal(station, number, bytes(head), since_row, until_row)  # type: ignore[call-overload]


def part_octets(registry: Registry, journal: KeptJournal, name: str) -> bytes | None:
    """A part's octets as they travelled; ``None`` where it is gone."""
    query = "SELECT octets FROM journal_part WHERE station = ? AND number = ? AND name = ?"
    row = registry.row(query, (journal.station, journal.number, name))
    return None if row is None else bytes(row[0])


def each_journal(registry: Registry) -> Iterator[KeptJournal]:
    """Every journal, by station and number."""
    query = "SELECT station, number, head, since_row, until_row FROM journal ORDER BY station, number"
    return (_kept(*row) for row in registry.rows(query))
