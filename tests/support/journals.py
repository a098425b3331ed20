"""Journals as somebody reads them who has the CA's certificate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iotonboard.exchange.journal import TRAIL, JournalHead, split_head, unpack_part
from iotonboard.exchange.tables import BY_NAME, decode_rows
from iotonboard.pki import pem


@dataclass(frozen=True)
class Journal:
    """What stands in one: its head, and its parts' octets as they were before they were compressed."""

    head: JournalHead
    parts: dict[str, bytes]

    @property
    def trail(self) -> list[bytes]:
        """The lines of the trail."""
        return self.parts[TRAIL].splitlines()

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table that are there, by their columns."""
        return [
            dict(zip(BY_NAME[table].columns, row, strict=True))
            for row, is_there in decode_rows(BY_NAME[table], self.parts.get(table, b""))
            if is_there
        ]

    def gone(self, table: str) -> list[tuple[Any, ...]]:
        """The keys of the rows of a table that are gone."""
        return [tuple(row) for row, is_there in decode_rows(BY_NAME[table], self.parts.get(table, b"")) if not is_there]


def read_journal(path: Path, ca_cert: Path) -> Journal:
    """Read one whose signature the CA made."""
    octets = path.read_bytes()
    found = split_head(octets)
    assert found is not None
    signed, place = found
    assert signed.holds(next(iter(pem.pem_blocks("CERTIFICATE", ca_cert.read_bytes()))))
    head, parts = signed.read(), {}
    for part in head.parts:
        parts[part.name] = unpack_part(part, octets[place : place + part.size])
        place += part.size
    assert place == len(octets)
    return Journal(head, parts)
