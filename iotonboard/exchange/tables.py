"""Which rows of a station's database a journal carries, and which of their columns: nothing that is secret.

A row is a JSON array of its columns, octets in Base64; one that is gone is an array that holds the array of its keys
alone. Rows are numbered as the station numbers them.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iotonboard.errors import PolicyError
from iotonboard.model import EARLIEST, LATEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


@dataclass(frozen=True, slots=True)
class JournalTable:
    """A table: how many columns, of the first ones, name a row, and all that travel.

    What is in ``octets`` and ``texts`` are columns of these; times and other numbers are integers. ``optional`` ones
    may be ``None``. A row without a value in the column ``needs`` is not told.
    """

    name: str
    keys: int
    columns: tuple[str, ...]
    octets: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    needs: str = ""


# In the order in which they are taken: a row stands behind what it refers to.
TABLES = (
    JournalTable(
        "issuer", 1, ("id", "serial", "not_before", "not_after", "der", "created_at", "retired_at"),
        octets=frozenset({"serial", "der"}), optional=frozenset({"retired_at"}),
    ),
    JournalTable("ca_chain", 1, ("issuer", "certificates", "installed_at"), octets=frozenset({"certificates"})),
    JournalTable(
        "root_crl", 1, ("root", "number", "this_update", "next_update", "der"),
        octets=frozenset({"root", "der"}), texts=frozenset({"number"}),
    ),
    JournalTable(
        "device", 1, ("id", "device_id", "name", "attributes", "created_at", "retired_at"),
        texts=frozenset({"device_id", "name", "attributes"}), optional=frozenset({"retired_at"}),
    ),
    JournalTable("topic", 3, ("device", "access", "topic"), texts=frozenset({"access", "topic"})),
    JournalTable("profile", 1, ("id", "content"), texts=frozenset({"content"})),
    JournalTable("certificate_profile", 1, ("certificate", "profile")),
    JournalTable(
        "certificate", 1,
        ("id", "serial", "issuer", "device", "host", "not_before", "not_after", "der", "created_at"),
        octets=frozenset({"serial", "der"}), texts=frozenset({"host"}), optional=frozenset({"device", "host"}),
    ),
    JournalTable("production", 1, ("certificate", "registry", "production_order"), texts=frozenset({"registry"})),
    JournalTable(
        "revocation", 1, ("certificate", "issuer", "revocation_date", "reason", "not_after"),
        texts=frozenset({"reason"}),
    ),
    JournalTable("released", 1, ("certificate", "released_at")),
    JournalTable(
        "foreign_revocation", 2, ("issuer", "serial", "entry_der"), octets=frozenset({"serial", "entry_der"})
    ),
    JournalTable(
        "lost_device", 1, ("device_id", "serial"), octets=frozenset({"serial"}), texts=frozenset({"device_id"})
    ),
    # The lists that were signed last: the one in force, and those of the calendar.
    JournalTable(
        "crl", 1, ("id", "issuer", "generation", "number", "this_update", "next_update", "revoked", "der"),
        octets=frozenset({"der"}), needs="der",
    ),
)  # fmt: skip
BY_NAME = {table.name: table for table in TABLES}
_TIMES = frozenset({"not_before", "not_after", "this_update", "next_update", "revocation_date"})
_HIGHEST = (1 << 63) - 1
_line = json.JSONEncoder(separators=(",", ":")).encode


def encode_rows(rows: Iterable[Sequence[object]], gone: Iterable[Sequence[object]] = ()) -> Iterator[bytes]:
    """The lines of a part: the keys of each row that is gone, then each row that is there with all its columns."""
    for keys in gone:
        yield _line([_as_text(keys)]).encode("ascii") + b"\n"
    for row in rows:
        yield _line(_as_text(row)).encode("ascii") + b"\n"


def _as_text(values: Sequence[object]) -> list[object]:
    return [base64.b64encode(one).decode("ascii") if isinstance(one, bytes) else one for one in values]


def decode_rows(table: JournalTable, content: bytes) -> Iterator[tuple[list[Any], bool]]:
    """The rows of a part as ``encode_rows`` took them, with whether a row is there; of one that is gone, its keys.

    Raises:
        PolicyError: a line is no row of this table.
    """
    kinds = [_kind(table, column) for column in table.columns]
    for line in content.splitlines():
        try:
            row = json.loads(line)
            is_there = len(row) != 1 or not isinstance(row[0], list)
            values = row if is_there else row[0]
            if not isinstance(values, list) or len(values) != (len(kinds) if is_there else table.keys):
                raise ValueError  # noqa: TRY301 - as what else is no row
            yield [_value(kind, value) for kind, value in zip(kinds, values, strict=False)], is_there
        except (ValueError, TypeError, IndexError, KeyError, RecursionError) as error:
            raise PolicyError(f"a row of {table.name!r} in the journal cannot be read") from error


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a column holds: ``octets``, ``text``, ``time`` or ``number``."""

    name: str
    is_optional: bool


def _kind(table: JournalTable, column: str) -> _Kind:
    octets, text = column in table.octets, column in table.texts
    is_time = column.endswith("_at") or column in _TIMES
    name = "octets" if octets else "text" if text else "time" if is_time else "number"
    return _Kind(name, column in table.optional)


def _value(kind: _Kind, value: Any) -> object:
    """A value that every engine takes, as a station has it (``ValueError``: no station has such)."""
    if value is None and kind.is_optional:
        return None
    if kind.name in ("octets", "text"):
        if not isinstance(value, str) or "\0" in value:
            raise ValueError
        octets = value.encode("utf-8")  # no half of a surrogate
        return base64.b64decode(octets, validate=True) if kind.name == "octets" else value
    lowest, highest = (EARLIEST, LATEST) if kind.name == "time" else (0, _HIGHEST)
    if type(value) is not int or not lowest <= value <= highest:
        raise ValueError
    return value
