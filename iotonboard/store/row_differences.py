"""Sealed rows that are not as the trail says, which is folded into one table and held against them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.store.row_seals import digest_of, read_digest, where

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotonboard.store.row_seals import Digests, Sealed
    from iotonboard.store.store import Store


@dataclass(frozen=True, slots=True)
class RowDifference:
    """A row that is not as the trail says. ``seq``: the newest row of the trail that speaks of it.

    ``what``: changed, unrecorded, gone; or passing: it was not as recorded when the program changed it.
    """

    table: str
    key: str
    what: str
    seq: int | None


def begin_fold(store: Store) -> None:
    """Make room for what the trail says of each row."""
    for name in ("sealed", "passing"):
        store.execute(f"DROP TABLE IF EXISTS temp.{name}")
    store.execute("CREATE TEMP TABLE sealed (tab, key, digest, seq, PRIMARY KEY (tab, key)) WITHOUT ROWID")
    store.execute("CREATE TEMP TABLE passing (tab, key, seq)")


def fold(store: Store, seq: int, digests: Digests, *, is_repair: bool) -> None:
    """Let what a later row of the trail says take the place of what was said before, and note where that does not fit.

    A repair settles what did not fit before it.
    """
    if is_repair:
        store.execute("DELETE FROM temp.passing")
    for table, rows in digests.items():
        for key, digest in rows.items():
            read, row = read_digest(digest), (table, key)
            said = store.row("SELECT digest FROM temp.sealed WHERE tab = ? AND key = ?", row)
            if not is_repair and (read is None or not _fits(read[0], said[0] if said else None)):
                store.execute("INSERT INTO temp.passing VALUES (?, ?, ?)", (*row, seq))
            if read is not None:
                store.execute("INSERT OR REPLACE INTO temp.sealed VALUES (?, ?, ?, ?)", (*row, read[1], seq))


def _fits(before: str | None, said: str | None) -> bool:
    return before is said is None or (before is not None and said is not None and said.startswith(before))


def differences(store: Store, table: Sealed) -> Iterator[RowDifference]:
    """Hold the rows of a table against the trail that was folded, in both directions.

    Raises:
        StateError: the table is not one that can be read.
    """
    key_text = f"CAST({table.key_text('t')} AS TEXT)"
    query = f"""SELECT {key_text}, s.digest, s.seq, {", ".join(f"t.{each}" for each in table.columns)}
        FROM main.{table.name} t LEFT JOIN temp.sealed s ON s.tab = '{table.name}' AND s.key = {key_text}
        {where(table, "t.")}"""
    for key, said, seq, *row in store.each_row(query):
        if said is None:
            yield RowDifference(table.name, key, "unrecorded", seq)
        elif said != digest_of(row):
            yield RowDifference(table.name, key, "changed", seq)
    gone = f"""SELECT 'gone', key, seq FROM temp.sealed WHERE tab = '{table.name}' AND digest IS NOT NULL
        AND key NOT IN (SELECT {key_text} FROM main.{table.name} t)
        UNION ALL SELECT 'passing', key, seq FROM temp.passing WHERE tab = '{table.name}'"""
    for what, key, seq in store.each_row(gone):
        yield RowDifference(table.name, key, what, seq)
