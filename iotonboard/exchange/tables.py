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

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


@dataclass(frozen=True, slots=True)
class JournalTable:
    """A table: how many columns, of the first ones, name a row, and all that travel. ``octets`` are those of octets.

    A row without a value in the column ``needs`` is not told.
    """

    name: str
    keys: int
    columns: tuple[str, ...]
    octets: frozenset[str] = frozenset()
    needs: str = ""


# In the order in which they are taken: a row stands behind what it refers to.
TABLES = (
    JournalTable(
        "issuer",
        1,
        ("id", "serial", "not_before", "not_after", "der", "created_at", "retired_at"),
        frozenset({"serial", "der"}),
    ),
    JournalTable("ca_chain", 1, ("issuer", "certificates", "installed_at"), frozenset({"certificates"})),
    JournalTable(
        "root_crl", 1, ("root", "number", "this_update", "next_update", "der"), frozenset({"root", "der"})
    ),
    JournalTable("device", 1, ("id", "device_id", "name", "attributes", "created_at", "retired_at")),
    JournalTable("topic", 3, ("device", "access", "topic")),
    JournalTable("profile", 1, ("id", "content")),
    JournalTable(
        "certificate",
        1,
        ("id", "serial", "issuer", "device", "host", "not_before", "not_after", "der", "created_at"),
        frozenset({"serial", "der"}),
    ),
    JournalTable("certificate_profile", 1, ("certificate", "profile")),
    JournalTable("revocation", 1, ("certificate", "issuer", "revocation_date", "reason", "not_after")),
    JournalTable("released", 1, ("certificate", "released_at")),
    JournalTable(
        "foreign_revocation", 2, ("issuer", "serial", "entry_der"), frozenset({"serial", "entry_der"})
    ),
    JournalTable("lost_device", 1, ("device_id", "serial"), frozenset({"serial"})),
    # Lists that were signed and are not thinned out: the one in force, and those of the calendar.
    JournalTable(
        "crl", 1, ("id", "issuer", "generation", "number", "this_update", "next_update", "revoked", "der"),
        frozenset({"der"}), "der",
    ),
)  # fmt: skip
BY_NAME = {table.name: table for table in TABLES}
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
    places = [place for place, column in enumerate(table.columns) if column in table.octets]
    for line in content.splitlines():
        try:
            row = json.loads(line)
            is_there = len(row) != 1 or not isinstance(row[0], list)
            values = row if is_there else row[0]
            if not isinstance(values, list) or len(values) != (len(table.columns) if is_there else table.keys):
                raise ValueError  # noqa: TRY301 - as what else is no row
            for place in places:
                if place < len(values) and values[place] is not None:
                    values[place] = base64.b64decode(values[place], validate=True)
        except (ValueError, TypeError, IndexError, RecursionError) as error:
            raise PolicyError(f"a row of {table.name!r} in the journal cannot be read") from error
        yield values, is_there
