"""Damage of the database file, as SQLite finds it, and indexes that are built anew from their tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.errors import BusyError, ConflictError, StateError

if TYPE_CHECKING:
    from iotonboard.store.store import Store


def damage_of(store: Store, *, with_indexes: bool) -> str:
    """Read the whole database through and say in one line what is damaged; empty when nothing is.

    ``with_indexes`` holds each index against its table too, which takes several times as long.
    """
    try:
        answer = str(store.row(f"PRAGMA {'integrity' if with_indexes else 'quick'}_check(1)")[0])
    except StateError as error:
        return error.message
    return "" if answer == "ok" else " ".join(answer.split())


def rebuild_indexes(store: Store) -> None:
    """Build every index anew from its table, each alone; one whose pages cannot even be given up, on other pages.

    Raises:
        StateError: a table is damaged too.
        ConflictError: a table has twice what can be there once; that index stays as it is.
        BusyError: the state is locked or the disk refuses.
    """
    refused: ConflictError | None = None
    has_moved = False
    for name, table, sql in store.rows("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'index'"):
        try:
            with store.transaction():
                store.execute(f"REINDEX {_quoted(name)}")
        except ConflictError as error:
            refused = error
        except StateError:
            _build_elsewhere(store, name, table, sql)
            has_moved = True
    if has_moved:
        store.execute("VACUUM")  # the pages that were left belong to nothing any more
    if refused is not None:
        raise refused


def _build_elsewhere(store: Store, name: str, table: str, sql: str | None) -> None:
    """Build an index anew under another name, and let its own name stand for those pages."""
    what = sql[sql.index(" ON ") :] if sql else f" ON {_quoted(table)}({_columns(store, name)})"
    try:
        with store.transaction():
            store.execute(f"CREATE INDEX built_elsewhere{what}")
            store.execute("PRAGMA writable_schema = ON")
            root = "(SELECT rootpage FROM sqlite_master WHERE name = 'built_elsewhere')"
            store.execute(f"UPDATE sqlite_master SET rootpage = {root} WHERE name = ?", (name,))
            store.execute("DELETE FROM sqlite_master WHERE name = 'built_elsewhere'")
    finally:
        store.execute("PRAGMA writable_schema = RESET")  # and the schema is read again


def _columns(store: Store, index: str) -> str:
    """The columns of an index that a constraint made."""
    found = store.rows("SELECT name, coll FROM pragma_index_xinfo(?) WHERE key", (index,))
    return ", ".join(f"{_quoted(name)} COLLATE {collation}" for name, collation in found)


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))


def rebuild_unreadable(store: Store) -> bool:
    """Build the indexes anew because one cannot be read; ``False`` where that was tried before, or is refused."""
    return _rebuild_once(store, "an index of the database could not be read, and all were built anew")


def rebuild_unlike(store: Store) -> bool:
    """Build the indexes anew because one says something else than its table; as ``rebuild_unreadable``."""
    return _rebuild_once(store, "an index of the database disagreed with its table, and all were built anew")


def _rebuild_once(store: Store, done: str) -> bool:
    if store.is_rebuilt:
        return False
    store.is_rebuilt = True
    try:
        rebuild_indexes(store)
    except (StateError, ConflictError, BusyError):
        return False
    store.mended.append(done)
    store.unrecorded.append(done)
    return True
