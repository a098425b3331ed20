"""What notes which sealed rows a connection changes, so that no change is forgotten, whoever makes it.

Temporary triggers note each row as it was and as it is since. A command writes to few of the tables, so those of a
table are made just before the first statement that may change it. A statement that is not known to change nothing, and
does not plainly say which table it changes, lets all be watched.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from iotonboard.errors import StateError
from iotonboard.store.row_seals import TABLES, digest_of, digest_of_change, in_parts, key_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from iotonboard.store.row_seals import Digests, Sealed
    from iotonboard.store.store import Store

_BY_NAME = {table.name: table for table in TABLES}
_MOST_COLUMNS = max(len(table.columns) for table in TABLES)
_CHANGE_NOTHING = (
    "SELECT ", "PRAGMA ", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT ", "RELEASE ", "CREATE ", "DROP ", "REINDEX ",
)  # fmt: skip
_CHANGE_ONE = re.compile(
    r"(?:INSERT(?: OR [A-Z]+)? INTO|UPDATE(?: OR [A-Z]+)?|DELETE FROM) (?:main\.|temp\.)?([a-z_]+)(?!\S)"
)


class Watch:
    """The tables whose changes a connection notes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._has_begun = False
        self._watched: set[str] = set()

    def begin(self) -> None:
        """Make room for what is changed, once and outside of a transaction, so that none takes it back."""
        if not self._has_begun:
            values = ", ".join(f"v{number}" for number in range(_MOST_COLUMNS))
            self._store.execute(f"CREATE TEMP TABLE changed (tab, a, b, c, is_after, {values})")
            self._has_begun = True

    def before(self, statement: str) -> None:
        """Note from now on what a statement may change that is about to be run."""
        for table in tables_changed_by(statement):
            if table.name not in self._watched:
                self.begin()
                with contextlib.suppress(StateError):  # a table that somebody took away is told by who looks for it
                    for trigger in _triggers(table):
                        self._store.execute(trigger)
                self._watched.add(table.name)

    def forget(self) -> None:
        """What was undone may have been triggers too: make them anew, where they are not there."""
        self._watched.clear()


def tables_changed_by(statement: str) -> Sequence[Sealed]:
    """The sealed tables that a statement may change: the one that it names, or all of them where it is not plain."""
    if statement.startswith(_CHANGE_NOTHING):
        return ()
    found = _CHANGE_ONE.match(statement)
    if not found:
        return TABLES
    return (_BY_NAME[found[1]],) if found[1] in _BY_NAME else ()


def _triggers(table: Sealed) -> Iterator[str]:
    """What notes what a row said before it was changed, and what it says since."""
    for event, row, images in (
        ("INSERT", "new", ("new",)),
        ("UPDATE", "old", ("old", "new")),
        ("DELETE", "old", ("old",)),
    ):
        when = f"WHEN {row}.{table.only}" if table.only else ""
        notes = "; ".join(f"INSERT INTO changed VALUES ({_noted(table, image)})" for image in images)
        yield f"""CREATE TEMP TRIGGER IF NOT EXISTS watch_{table.name}_{event} AFTER {event} ON main.{table.name} {when}
            BEGIN {notes}; END"""


def _noted(table: Sealed, image: str) -> str:
    """The values of a row of ``changed``: of the row as it was (``old``), or as it is since (``new``)."""
    key = [f"{image}.{column}" for column in table.keys] + ["NULL"] * (3 - len(table.keys))
    said = [f"{image}.{column}" for column in table.columns] + ["NULL"] * (_MOST_COLUMNS - len(table.columns))
    return ", ".join([f"'{table.name}'", *key, str(int(image == "new")), *said])


def take_changes(store: Store) -> Iterator[Digests]:
    """Digests of the rows that were changed since this was asked last, in parts of bounded size.

    Of a row that was there before, its digest before and after: so an edit that the program wrote over is found too.
    """
    changes: dict[tuple[Any, ...], tuple[str | None, str | None]] = {}
    for name, a, b, c, is_after, *values in store.each_row("SELECT * FROM temp.changed ORDER BY rowid"):
        said = digest_of(values[: len(_BY_NAME[name].columns)])
        before, _ = changes.get((name, a, b, c), (None if is_after else said, None))
        changes[name, a, b, c] = before, said if is_after else None
    if changes:
        store.execute("DELETE FROM temp.changed")
    yield from in_parts(
        (name, key_text(*key), digest_of_change(before, now))
        for (name, *key), (before, now) in changes.items()
        if before != now
    )
