"""Rows of an older version that cannot be, and that were set aside when the database was brought forward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.store.values import text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotonboard.store.store import Store


@dataclass(frozen=True, slots=True)
class SetAside:
    """One row: the ``table`` and ``key`` of it, and the columns that were ``refused``, separated by commas.

    ``subject``: the device or host that it is about, or nothing. ``is_replaced``: what could be kept of it stands in
    its place, so that it can still be revoked, or is on every CRL.
    """

    table: str
    key: str
    subject: str
    refused: str
    is_replaced: bool

    def __str__(self) -> str:
        whose = f" of {self.subject!r}" if self.subject else ""
        what = "kept in part" if self.is_replaced else "lost"
        return f"{self.table} {self.key}{whose} ({self.refused}; {what})"


def rows_set_aside(store: Store) -> Iterator[SetAside]:
    """All of them, in the order in which they were met."""
    query = "SELECT source, key, subject, refused_by, is_replaced FROM set_aside ORDER BY id"
    return store.each(_set_aside, query)


def _set_aside(table: str, key: str, subject: str, refused: str, is_replaced: int) -> SetAside:
    return SetAside(text(table), text(key), text(subject), text(refused), bool(is_replaced))


def forget_set_aside(store: Store) -> None:
    """Let what stands in their place count, and drop what they said."""
    store.execute("DELETE FROM set_aside")
