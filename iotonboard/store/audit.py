"""The audit trail: one row per change, each chained to the one before by SHA-256.

``hash(n) = SHA-256(hash(n-1) || canonical JSON of row n)``, hash(0) being 32 zero octets. A row is
appended inside the transaction of the change it records, so neither exists without the other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from iotonboard.model import Caller
    from iotonboard.store.store import Store

from iotonboard.model import from_epoch, to_epoch

GENESIS = bytes(32)
HEAD_DIGITS = 20  # 80 bits: short enough to write down, long enough that nobody makes a second trail for it
_quoted = json.JSONEncoder().encode  # of a text, which takes no time to set up
_detail = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode
_COLUMNS = "seq, time, operator, host, command, subject, serial, detail, hash"


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row of the trail. ``serial`` is upper-case hex or empty; ``detail`` is JSON text."""

    seq: int
    time: datetime
    operator: str
    host: str
    command: str
    subject: str
    serial: str
    detail: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The newest row's number and hash; ``seq`` 0 for an empty trail."""

    seq: int
    hash: bytes


def canonical(seq: int, time: int, *texts: str) -> bytes:
    """The octets that are hashed for one row: a JSON array without blanks, ASCII only."""
    return f"[{seq},{time},{','.join(map(_quoted, texts))}]".encode("ascii")


def chain(previous: bytes, seq: int, time: int, *texts: str) -> bytes:
    """The hash of a row that follows one whose hash is ``previous``."""
    return sha256(previous + canonical(seq, time, *texts)).digest()


def head(connection: sqlite3.Connection) -> AuditHead:
    """Number and hash of the newest row."""
    row = connection.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    return AuditHead(row[0], row[1]) if row else AuditHead(0, GENESIS)


def printable_head(newest: AuditHead) -> str:
    """A head as people write it down: ``NUMBER:XXXX-XXXX-XXXX-XXXX-XXXX``."""
    digits = newest.hash.hex().upper()[:HEAD_DIGITS]
    return f"{newest.seq}:" + "-".join(digits[start : start + 4] for start in range(0, HEAD_DIGITS, 4))


def hash_of(connection: sqlite3.Connection, seq: int) -> bytes | None:
    """Hash of one row; ``None`` when it is not there."""
    row = connection.execute("SELECT hash FROM audit WHERE seq = ?", (seq,)).fetchone()
    return row[0] if row else None


def append(
    connection: sqlite3.Connection,
    last: AuditHead,
    caller: Caller,
    now: datetime,
    *,
    subject: str,
    serial: str = "",
    detail: Mapping[str, object] | None = None,
) -> AuditHead:
    """Record one change inside the caller's transaction, behind the ``last`` one, and return the new head."""
    seq, time = last.seq + 1, to_epoch(now)
    detail_json = _detail(detail or {})
    texts = (caller.operator, caller.host, caller.command, subject, serial, detail_json)
    digest = chain(last.hash, seq, time, *texts)
    connection.execute(
        f"INSERT INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constant column list
        (seq, time, *texts, digest),
    )
    return AuditHead(seq, digest)


def rows(connection: sqlite3.Connection, *, since_seq: int = 0) -> Iterator[AuditRow]:
    """All rows after ``since_seq``, oldest first."""
    query = f"SELECT {_COLUMNS} FROM audit WHERE seq > ? ORDER BY seq"  # noqa: S608 - constant column list
    for row in connection.execute(query, (since_seq,)):
        yield AuditRow(row[0], from_epoch(row[1]), *row[2:])


def first_broken(connection: sqlite3.Connection, *, since_seq: int = 0) -> int | None:
    """Number of the first row after ``since_seq`` that does not follow from the one before, or ``None``."""
    previous, expected = GENESIS if since_seq == 0 else hash_of(connection, since_seq) or b"", since_seq + 1
    for row in rows(connection, since_seq=since_seq):
        texts = (row.operator, row.host, row.command, row.subject, row.serial, row.detail)
        if row.seq != expected or row.hash != chain(previous, row.seq, to_epoch(row.time), *texts):
            return expected
        previous, expected = row.hash, expected + 1
    return None


def head_statement(newest: AuditHead) -> bytes:
    """The octets that the CA key signs for a head; the label keeps them apart from anything else it signs."""
    return b"iotonboard audit head v1\n%d\n%s\n" % (newest.seq, newest.hash.hex().encode("ascii"))


def signed_head(store: Store) -> tuple[int, bytes, int, bytes] | None:
    """The newest signed head of the trail: row number, hash, issuer and signature."""
    row = store.row("SELECT seq, hash, issuer, signature FROM audit_head ORDER BY seq DESC LIMIT 1")
    return (row[0], row[1], row[2], row[3]) if row else None


def set_signed_head(store: Store, seq: int, digest: bytes, issuer: int, signature: bytes) -> None:
    """Keep the newest signed head of the audit trail in place of the one before."""
    store.connection.execute("DELETE FROM audit_head WHERE seq <> ?", (seq,))
    store.connection.execute(
        "INSERT OR REPLACE INTO audit_head (seq, hash, issuer, signature) VALUES (?, ?, ?, ?)",
        (seq, digest, issuer, signature),
    )
