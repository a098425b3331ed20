"""Values in a registry that no version of the program writes: asked for where a command stumbled over one.

SQLite takes values of any type in any column, and whoever administers a database may write into it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from iotonboard.model import LATEST
from iotonboard.store.registry import schema
from iotonboard.store.registry.registry import SQLITE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotonboard.store.registry.registry import Registry

_TABLE = re.compile(r"CREATE TABLE (\w+) \((.*)\)", re.DOTALL)
_COLUMN = re.compile(r"(?:^|,)\s*(\w+) (INTEGER|TEXT|BLOB|BIGINT|BYTEA)( NOT NULL| PRIMARY KEY)?")
_TYPES = {"INTEGER": "integer", "TEXT": "text", "BLOB": "blob"}
_TIME = re.compile(r".*_at|.*_update|.*_date|not_(before|after)|time|created|until")
_LARGEST = (1 << 53) - 1
_NUMBERS = frozenset({"INTEGER", "BIGINT"})


def damaged_value(registry: Registry) -> str:
    """Where a value stands that cannot be, in words; empty where there is none. Reads every table through."""
    for table, column, condition in _conditions(registry.engine):
        if registry.row(f"SELECT 1 FROM {table} WHERE {condition} LIMIT 1") is not None:
            return f"the column {column!r} of the table {table!r}"
    return ""


def _conditions(engine: str) -> Iterator[tuple[str, str, str]]:
    """Table, column, and the condition of a row whose value there cannot be."""
    for statement in schema.statements(engine):
        if found := _TABLE.fullmatch(statement):
            for column in _COLUMN.finditer(found[2]):
                yield found[1], column[1], " OR ".join(_wrong(engine, *column.groups()))


def _wrong(engine: str, column: str, kind: str, rule: str | None) -> Iterator[str]:
    if engine == SQLITE:
        allowed = f"'{_TYPES[kind]}'" if rule else f"'{_TYPES[kind]}', 'null'"
        yield f"typeof({column}) NOT IN ({allowed})"
    if kind in _NUMBERS:
        yield f"{column} NOT BETWEEN 0 AND {LATEST if _TIME.fullmatch(column) else _LARGEST}"
    elif engine != SQLITE:
        yield f"{column} IS NULL" if rule else "1 = 0"
