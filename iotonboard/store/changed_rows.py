"""Rows that are not as the trail says, which was folded before, and what they said: its digest proves a guess."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iotonboard.store.row_differences import differences
from iotonboard.store.row_seals import TABLES, digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iotonboard.store.store import Store

_BY_NAME = {table.name: table for table in TABLES}


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """A row of ``device`` or ``certificate`` by its ``key``: what it says, and the digest of what it said."""

    key: int
    values: Mapping[str, Any]
    said: str

    def was(self, values: Mapping[str, object]) -> bool:
        """Say whether the row said this, and else what it says now."""
        return digest_of({**self.values, **values}.values()) == self.said


def changed_rows(store: Store, table: str) -> list[ChangedRow]:
    """Those of a table that are there, and say something else than the trail says."""
    sealed, found = _BY_NAME[table], []
    for key in [one.key for one in differences(store, sealed) if one.what == "changed"]:
        (said,) = store.row("SELECT digest FROM temp.sealed WHERE tab = ? AND key = ?", (table, key))
        row = store.row(f"SELECT {', '.join(sealed.columns)} FROM {table} WHERE id = ?", (key,))
        found.append(ChangedRow(int(key), dict(zip(sealed.columns, row, strict=True)), said))
    return found


def device_called(store: Store, device_id: str) -> int | None:
    """The row of a device that is called so, letter by letter."""
    return store.record(int, "SELECT id FROM device WHERE device_id = ? COLLATE BINARY", (device_id,))


def put_device_ids_back(store: Store, ids: Mapping[int, str]) -> None:
    """Call devices (by their rows) as they were called, inside the caller's transaction; they may have swapped names.

    Where another device has such a name by now, they stay as they are.
    """
    rename = "UPDATE OR IGNORE device SET device_id = ? WHERE id = ?"
    before = {row: store.row("SELECT device_id FROM device WHERE id = ?", (row,))[0] for row in ids}
    store.execute_many(rename, [(f"set-aside-{row}", row) for row in ids])
    store.execute_many(rename, [(name, row) for row, name in ids.items()])
    left = [(name, row) for row, name in before.items() if _is_stand_in(store, row)]
    store.execute_many(rename, left)


def _is_stand_in(store: Store, row: int) -> bool:
    return bool(store.row("SELECT device_id = 'set-aside-' || id FROM device WHERE id = ?", (row,))[0])


def put_certificate_back(store: Store, row: int, device: int | None, host: str | None, der: bytes) -> None:
    """Let the row of a certificate have its octets and lead to its holder again, inside the caller's transaction."""
    store.execute("UPDATE certificate SET device = ?, host = ?, der = ? WHERE id = ?", (device, host, der, row))
