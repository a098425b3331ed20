"""Which ids the list that is being read has named so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iotonboard.store.store import Store


def note_seen(store: Store, device_id: str, line: int) -> int | None:
    """Remember an id of the list being read; the other line where it stood before, or ``None``.

    The memory is a temporary table, which SQLite moves to disk when it grows.
    """
    store.execute(
        "CREATE TEMP TABLE IF NOT EXISTS seen (device_id TEXT PRIMARY KEY COLLATE NOCASE, line INTEGER) WITHOUT ROWID"
    )
    earlier = store.record(int, "SELECT line FROM seen WHERE device_id = ?", (str(device_id),))
    if earlier is None:
        store.execute("INSERT INTO seen VALUES (?, ?)", (str(device_id), line))
    return earlier if earlier != line else None
