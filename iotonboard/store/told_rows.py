"""Rows by the names that the audit trail has for them: what a journal tells of the tables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from iotonboard.errors import StateError
from iotonboard.store import audit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from iotonboard.store.store import Store

_OCTETS, _TEXTS = frozenset({"serial", "root"}), frozenset({"access", "topic", "device_id"})  # of keys; others count


def changed_since(store: Store, names: Collection[str], *, since_seq: int) -> dict[str, list[str]]:
    """The rows of the tables ``names`` that the trail tells were changed after ``since_seq``, each once, by table.

    Raises:
        StateError: a row of the trail says what no version of the program writes.
    """
    found: dict[str, dict[str, None]] = {name: {} for name in names}
    query = "SELECT seq, detail FROM audit WHERE seq > ? AND subject = ? AND serial = '' ORDER BY seq"
    for seq, detail in store.each_row(query, (since_seq, audit.ROWS)):
        try:
            for name, rows in json.loads(detail).get("rows", {}).items():
                if name in found:
                    found[name].update(dict.fromkeys(rows))
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise StateError(f"row {seq} of the trail says what cannot be") from error
    return {name: list(rows) for name, rows in found.items()}


def all_rows(store: Store, table: str, columns: Sequence[str], needs: str) -> Iterator[Any]:
    """The rows of a table that have a value in the column ``needs``; all of them where that is empty."""
    where = f" WHERE {needs} IS NOT NULL" if needs else ""
    return store.each_row(f"SELECT {', '.join(columns)} FROM main.{table}{where}")


def named_rows(
    store: Store, table: str, columns: Sequence[str], needs: str, keys: Iterable[str], count: int
) -> tuple[list[Any], list[tuple[object, ...]]]:
    """The rows with these keys, which are the first ``count`` columns, and the keys of those that are gone.

    A row without a value in the column ``needs`` is neither.

    Raises:
        StateError: no row has such a key.
    """
    named = columns[:count]
    query = f"""SELECT {f"{needs} IS NOT NULL" if needs else 1}, {", ".join(columns)} FROM main.{table}
        WHERE {" AND ".join(f"{column} = ?" for column in named)}"""
    there, gone = [], []
    for key in keys:
        values = _key_values(table, named, key)
        row = store.row(query, values)
        if row is None:
            gone.append(values)
        elif row[0]:
            there.append(row[1:])
    return there, gone


def _key_values(table: str, columns: Sequence[str], key: str) -> tuple[object, ...]:
    parts = key.split(" ", len(columns) - 1)
    try:
        return tuple(
            bytes.fromhex(part) if column in _OCTETS else part if column in _TEXTS else int(part)
            for column, part in zip(columns, parts, strict=True)
        )
    except ValueError as error:
        raise StateError(f"the trail names a row {key[:80]!r} of {table!r}, which cannot be") from error
