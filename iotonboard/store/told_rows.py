"""Rows as a journal tells them: by the names that the audit trail has for them, and only as the trail says they are."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from iotonboard.errors import StateError
from iotonboard.store import audit
from iotonboard.store.row_seals import TABLES, digest_of, read_digest, where

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from iotonboard.store.row_seals import Sealed
    from iotonboard.store.store import Store

_BY_NAME = {table.name: table for table in TABLES}
_OCTETS, _TEXTS = frozenset({"serial", "root"}), frozenset({"access", "topic", "device_id"})  # of keys; others count

# Of lists, the octets of those that were signed last alone, which the office keeps: earlier ones are many, and large.
_SELECTED = {
    "crl.der": """CASE WHEN t.generation = (SELECT max(n.generation) FROM main.crl n WHERE n.issuer = t.issuer)
        THEN t.der END""",
}


def digests_since(store: Store, names: Collection[str], *, since_seq: int) -> dict[str, dict[str, str | None]]:
    """What the trail says after ``since_seq`` of rows of the tables ``names``: by key the last digest; ``None``: gone.

    Raises:
        StateError: a row of the trail says what no version of the program writes.
    """
    found: dict[str, dict[str, str | None]] = {name: {} for name in names}
    query = "SELECT seq, detail FROM audit WHERE seq > ? AND subject = ? AND serial = '' ORDER BY seq"
    for seq, detail in store.each_row(query, (since_seq, audit.ROWS)):
        try:
            for name, rows in json.loads(detail).get("rows", {}).items():
                if name in found:
                    found[name].update((key, _after(said)) for key, said in rows.items())
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise StateError(f"row {seq} of the trail says what cannot be") from error
    return found


def _after(said: object) -> str | None:
    read = read_digest(said)
    if read is None:
        raise ValueError("no digest")
    return read[1]


@dataclass(slots=True)
class Told:
    """What is told of a table: keys of rows that are ``gone``, and how many were ``left_out`` as not what they were."""

    gone: list[tuple[object, ...]] = field(default_factory=list)
    left_out: int = 0


def rows_as_told(
    store: Store,
    name: str,
    columns: Sequence[str],
    needs: str,
    digests: Mapping[str, str | None],
    told: Told,
    *,
    are_all: bool,
) -> Iterator[Sequence[Any]]:
    """The ``columns`` of rows of a table that are as ``digests`` say; those that are not are counted in ``told``.

    ``are_all``: every row of the table, of which somebody may have put one there; else those that have a digest.
    A row without a value in the column ``needs`` is passed over.

    Raises:
        StateError: no row has such a key.
    """
    table = _BY_NAME[name]
    extra = tuple(column for column in columns if column not in table.columns)
    places = [(*table.columns, *extra).index(column) for column in columns]
    wanted = [(*table.columns, *extra).index(needs)] if needs else []
    selected = ", ".join(_SELECTED.get(f"{name}.{column}", f"t.{column}") for column in (*table.columns, *extra))
    found = _every(store, table, selected) if are_all else _named(store, table, selected, digests)
    seen = 0
    for key, row in found:
        said = digests.get(key)
        seen += row is not None and key in digests
        if row is None and said is None:
            told.gone.append(_key_values(table, key))
        elif row is None or said != digest_of(row[: len(table.columns)]):
            told.left_out += 1
        elif all(row[place] is not None for place in wanted):
            yield [row[place] for place in places]
    if are_all:  # what the trail knows, and somebody took away
        told.left_out += sum(said is not None for said in digests.values()) - seen


def _every(store: Store, table: Sealed, selected: str) -> Iterator[tuple[str, Sequence[Any] | None]]:
    query = f"SELECT CAST({table.key_text('t')} AS TEXT), {selected} FROM main.{table.name} t {where(table, 't.')}"
    for key, *row in store.each_row(query):
        yield key, row


def _named(
    store: Store, table: Sealed, selected: str, digests: Mapping[str, str | None]
) -> Iterator[tuple[str, Sequence[Any] | None]]:
    condition = " AND ".join(f"t.{column} = ?" for column in table.keys)
    query = f"SELECT {selected} FROM main.{table.name} t WHERE {condition}"
    for key in digests:
        yield key, store.row(query, _key_values(table, key))


def _key_values(table: Sealed, key: str) -> tuple[object, ...]:
    parts = key.split(" ", len(table.keys) - 1)
    try:
        return tuple(
            bytes.fromhex(part) if column in _OCTETS else part if column in _TEXTS else int(part)
            for column, part in zip(table.keys, parts, strict=True)
        )
    except ValueError as error:
        raise StateError(f"the trail names a row {key[:80]!r} of {table.name!r}, which cannot be") from error
