"""The audit trail's rows, as somebody reads them: one by one, also those that somebody damaged."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iotonboard.model import LATEST, from_epoch
from iotonboard.store.audit import COLUMNS, GENESIS, chain, hash_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from iotonboard.store.store import Store

_TEXTS = ("operator", "host", "command", "subject", "serial", "detail")
_ROWS = f"SELECT {COLUMNS} FROM audit WHERE seq > ? ORDER BY seq"


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row of the trail. ``serial`` is upper-case hex or empty; ``detail`` is JSON text.

    ``hash`` is empty in a row that somebody damaged; the texts then show what stands there.
    """

    seq: int
    time: datetime
    operator: str
    host: str
    command: str
    subject: str
    serial: str
    detail: str
    hash: bytes

    @property
    def said(self) -> dict[str, Any]:
        """What ``detail`` says; nothing where it is no JSON object, as the chain shows too."""
        try:
            found = json.loads(self.detail) if self.hash else None
        except (ValueError, RecursionError):
            found = None
        return found if isinstance(found, dict) else {}


def rows(store: Store, *, since_seq: int = 0) -> Iterator[AuditRow]:
    """All rows after ``since_seq``, oldest first."""
    return store.each(_audit_row, _ROWS, (since_seq,))  # never refuses a row: who looks wants to see those behind it


def rows_telling(store: Store, keys: Collection[str], *, since_seq: int) -> Iterator[AuditRow]:
    """Of ``rows`` those whose detail may have one of the keys, and those that somebody damaged."""
    has_key = " OR ".join(f"""instr(detail, '"{key}"')""" for key in keys)
    texts = " AND ".join(f"typeof({one}) = 'text'" for one in _TEXTS)
    can_be = f"typeof(time) = 'integer' AND time BETWEEN 0 AND {LATEST} AND typeof(hash) = 'blob' AND {texts}"
    # A letter of a key may be written with a backslash.
    query = f"SELECT {COLUMNS} FROM audit WHERE seq > ? AND (NOT ({can_be}) OR instr(detail, '\\') OR {has_key})"
    return store.each(_audit_row, f"{query} ORDER BY seq", (since_seq,))


def _audit_row(seq: int, time: int, *others: Any) -> AuditRow:
    *texts, digest = others
    can_be = _can_be((seq, time, *others)) and 0 <= time <= LATEST
    moment = from_epoch(time if isinstance(time, int) and 0 <= time <= LATEST else 0)
    operator, host, command, subject, serial, detail = (one if isinstance(one, str) else repr(one) for one in texts)
    return AuditRow(seq, moment, operator, host, command, subject, serial, detail, digest if can_be else b"")


def first_broken(store: Store, *, since_seq: int = 0) -> int | None:
    """Number of the first row after ``since_seq`` that does not follow from the one before, or ``None``."""
    expected = since_seq + 1
    for values, _ in chained(store, since_seq=since_seq):
        if not values:
            return expected
        expected += 1
    return None


def chained(store: Store, *, since_seq: int) -> Iterator[tuple[Sequence[Any], bytes]]:
    """The rows after ``since_seq`` as they are hashed, each with its hash; at the first that does not follow, nothing.

    Nothing is an empty row, and the last one that comes.
    """
    previous, expected = GENESIS if since_seq == 0 else hash_of(store, since_seq) or b"", since_seq + 1
    for row in store.each_row(_ROWS, (since_seq,)):
        *values, digest = row
        if values[0] != expected or not _can_be(row) or digest != chain(previous, *values):
            yield (), b""
            return
        yield values, digest
        previous, expected = digest, expected + 1


def _can_be(row: Sequence[object]) -> bool:
    _, time, *texts, digest = row
    return isinstance(time, int) and isinstance(digest, bytes) and all(isinstance(one, str) for one in texts)
