"""Changes of the ACL's region that this state made: so a package can say of which regions its own is a later one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iotonboard.store.store import Store

# Of each kind: those that were published, which somebody may have carried by hand, and those that went in a package.
KEPT = 512


def note_change(store: Store, number: int, row: int, mark: str) -> None:
    """Note a change with the row of the trail that marks it, inside a transaction; long past ones go."""
    statement = "INSERT OR IGNORE INTO region_change (number, row, mark, is_packed) VALUES (?, ?, ?, 0)"
    store.execute(statement, (number, row, mark))
    for is_packed in (0, 1):
        of = f"FROM region_change WHERE is_packed = {is_packed}"
        store.execute(f"DELETE {of} AND number < (SELECT number {of} ORDER BY number DESC LIMIT 1 OFFSET {KEPT - 1})")


def note_packed(store: Store, number: int, row: int, mark: str) -> None:
    """Note that a change goes in a package: a broker may have its region for long."""
    statement = "UPDATE region_change SET is_packed = 1 WHERE (number, row, mark) = (?, ?, ?)"
    store.execute(statement, (number, row, mark))


def changes(store: Store) -> list[tuple[int, int, str]]:
    """Number, row and mark of each change that is kept; a row that somebody damaged is left out."""
    kinds = (("number", "integer"), ("row", "integer"), ("mark", "text"))
    sound = " AND ".join(f"typeof({column}) = '{kind}'" for column, kind in kinds)
    query = f"SELECT number, row, mark FROM region_change WHERE {sound} ORDER BY number, row"
    return store.records(lambda number, row, mark: (number, row, mark), query)
