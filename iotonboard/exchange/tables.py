"""Which rows of a station's database a journal carries, and which of their columns: nothing that is secret.

A row is a JSON array of its columns, octets in Base64; one that is gone is the array of its keys. Rows are numbered as
the station numbers them.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


@dataclass(frozen=True, slots=True)
class JournalTable:
    """A table: how many columns, of the first ones, name a row, and all that travel. ``octets`` are those of octets."""

    name: str
    keys: int
    columns: tuple[str, ...]
    octets: frozenset[str] = frozenset()


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
        frozenset({"der"}),
    ),
)  # fmt: skip
BY_NAME = {table.name: table for table in TABLES}
_line = json.JSONEncoder(separators=(",", ":")).encode


def encode_rows(rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """The lines of a part: each row with all its columns, or with its keys alone where it is gone."""
    for row in rows:
        values = [base64.b64encode(one).decode("ascii") if isinstance(one, bytes) else one for one in row]
        yield _line(values).encode("ascii") + b"\n"


def decode_rows(table: JournalTable, content: bytes) -> Iterator[list[object]]:
    """The rows of a part, as ``encode_rows`` took them.

    Raises:
        PolicyError: a line is no row of this table.
    """
    places = [place for place, column in enumerate(table.columns) if column in table.octets]
    lengths = (table.keys, len(table.columns))
    for line in content.splitlines():
        try:
            row = json.loads(line)
            if not isinstance(row, list) or len(row) not in lengths:
                raise ValueError  # noqa: TRY301 - as what else is no row
            for place in places:
                if place < len(row) and row[place] is not None:
                    row[place] = base64.b64decode(row[place], validate=True)
        except (ValueError, TypeError, binascii.Error, RecursionError) as error:
            raise PolicyError(f"a row of {table.name!r} in the journal cannot be read") from error
        yield row
