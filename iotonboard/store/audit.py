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
    from collections.abc import Mapping
    from datetime import datetime

    from iotonboard.model import Caller
    from iotonboard.store.store import Store

from iotonboard.model import LATEST, from_epoch, to_epoch
from iotonboard.store.values import text

GENESIS = bytes(32)
ROWS = "rows"  # subject of the rows that hold digests of others (``row_seals.py``)
OF_CALL = "of call"  # key of the mark in the detail of the rows of a call for many (``enrolment/unfinished.py``)
CA = "ca"  # subject of the rows that tell of a CA, and of devices that are called so
TRAIL = "trail"  # subject of the rows that tell of a broken seal
HEAD_DIGITS = 20  # 80 bits: short enough to write down, long enough that nobody makes a second trail for it
_MARK_DIGITS = 16
_LARGEST = 1 << 53  # number of a row that somebody counted to
_quoted = json.JSONEncoder().encode  # of a text, which takes no time to set up
_detail = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode
COLUMNS = "seq, time, operator, host, command, subject, serial, detail, hash"
# The newest row, and the head that the CA signed last with the hash that its row has now.
_ENDS = f"""SELECT n.seq, n.hash, h.seq, h.hash, h.issuer, h.signature, (SELECT a.hash FROM audit a WHERE a.seq = h.seq)
    FROM (SELECT 1)
    LEFT JOIN (SELECT seq, hash FROM audit WHERE seq BETWEEN 1 AND {_LARGEST} ORDER BY seq DESC LIMIT 1) n
    LEFT JOIN (SELECT * FROM audit_head ORDER BY seq DESC LIMIT 1) h"""
# Which CAs there were, and who vouched for them (``succession.py``).
TOLD_CAS = """SELECT seq, command, detail FROM audit WHERE subject = 'ca' AND serial <> ''
    AND command IN ('init-ca', 'ca rollover', 'ca replace', 'ca recover', 'ca recovery-passphrase', 'restore')
    ORDER BY seq"""

# CAs that were added beside them, for certificates that no broker takes (``added_cas.py``).
ADDED_CAS = (
    """SELECT seq, detail FROM audit WHERE subject = 'ca' AND serial <> '' AND command = 'ca add' ORDER BY seq"""
)


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The newest row's number and hash; ``seq`` 0 for an empty trail."""

    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head of the trail that a CA signed; ``issuer`` is its row, ``found`` the hash that the row has now, if any."""

    head: AuditHead
    issuer: int
    signature: bytes
    found: bytes | None = None


def canonical(seq: int, time: int, *texts: str) -> bytes:
    """The octets that are hashed for one row: a JSON array without blanks, ASCII only."""
    return f"[{seq},{time},{','.join(map(_quoted, texts))}]".encode("ascii")


def chain(previous: bytes, seq: int, time: int, *texts: str) -> bytes:
    """The hash of a row that follows one whose hash is ``previous``."""
    return sha256(previous + canonical(seq, time, *texts)).digest()


def head(store: Store) -> AuditHead:
    """Number and hash of the newest row."""
    seq, digest, *_ = store.small(_ENDS)[0]
    return AuditHead(0, GENESIS) if seq is None else store.make_record(_head, (seq, digest))


def _head(seq: int, digest: object) -> AuditHead:
    """The trail goes on behind a hash that somebody changed: it is broken there, and a revocation is recorded."""
    return AuditHead(seq, digest if isinstance(digest, bytes) else GENESIS)


def newest_time(store: Store) -> datetime | None:
    """The time of the newest row whose time can be; ``None`` for an empty trail."""
    query = "SELECT time FROM audit WHERE typeof(time) = 'integer' AND time BETWEEN 0 AND ? ORDER BY seq DESC LIMIT 1"
    return store.record(from_epoch, query, (LATEST,))


def printable_head(newest: AuditHead) -> str:
    """A head as people write it down: ``NUMBER:XXXX-XXXX-XXXX-XXXX-XXXX``."""
    digits = newest.hash.hex().upper()[:HEAD_DIGITS]
    return f"{newest.seq}:" + "-".join(digits[start : start + 4] for start in range(0, HEAD_DIGITS, 4))


def hash_of(store: Store, seq: int) -> bytes | None:
    """Hash of one row; ``None`` when it is not there."""
    return store.record(bytes, "SELECT hash FROM audit WHERE seq = ?", (seq,))


def time_of(store: Store, seq: int) -> datetime | None:
    """When a row was added; ``None`` when it is not there."""
    return store.record(from_epoch, "SELECT time FROM audit WHERE seq = ?", (seq,))


def mark_of(digest: bytes) -> str:
    """A hash as it is shown in files, where it tells one trail from another: its first 16 digits."""
    return digest.hex()[:_MARK_DIGITS]


def append(
    store: Store,
    caller: Caller,
    now: datetime,
    *,
    subject: str,
    serial: str = "",
    detail: Mapping[str, object] | None = None,
) -> None:
    """Record one change inside the caller's transaction, behind the newest one."""
    last = head(store)
    seq, time = last.seq + 1, to_epoch(now)
    detail_json = _detail(detail or {})
    texts = (caller.operator, caller.host, caller.command, subject, serial, detail_json)
    digest = chain(last.hash, seq, time, *texts)
    store.execute(
        f"INSERT INTO audit ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (seq, time, *texts, digest),
    )
    store.know_small(_ENDS, [(seq, digest, *store.small(_ENDS)[0][2:])])
    if subject == CA:
        store.forget_small(TOLD_CAS)
    store.first_own_row = store.first_own_row or seq
    store.first_row = store.first_row or seq


def rows_of_call(store: Store, mark: str, since_seq: int, since: datetime) -> list[tuple[str, str, str]]:
    """Of rows after one and a time that a call marked: subject, serial (hex), and what stands behind the mark."""
    query = """SELECT subject, serial, substr(detail, instr(detail, :mark) + length(:mark), 12) FROM audit
        WHERE seq > :seq AND time >= :time AND instr(detail, :mark) AND typeof(serial) = 'text' ORDER BY seq"""
    place = {"mark": f'"{OF_CALL}":"{mark}', "seq": since_seq, "time": to_epoch(since)}
    found = (map(text, row) for row in store.rows(query, place))
    return [(subject, serial, rest.partition('"')[0].strip()) for subject, serial, rest in found]


def newest_list(store: Store, *, until: int) -> int:
    """Number of the row up to ``until`` that tells of the CRL that was signed last; 0: of none."""
    query = """SELECT seq FROM audit WHERE subject = 'crl' AND serial = '' AND instr(detail, '"crl_number":')
        AND seq <= ? ORDER BY seq DESC LIMIT 1"""
    return store.record(int, query, (until,)) or 0


def forged_rows(store: Store, *, since_seq: int) -> list[int]:
    """Numbers of rows that one after ``since_seq`` tells of: the CA's key alone makes such, and had not signed them."""
    query = """SELECT j.value FROM audit a, json_each(iif(json_valid(a.detail), a.detail, '{}'), '$.rows') j
        WHERE a.seq > ? AND a.subject = ? AND a.serial = '' AND typeof(j.value) = 'integer'"""
    return store.records(int, query, (since_seq, TRAIL))


def head_statement(newest: AuditHead) -> bytes:
    """The octets that the CA key signs for a head; the label keeps them apart from anything else it signs."""
    return b"iotonboard audit head v1\n%d\n%s\n" % (newest.seq, newest.hash.hex().encode("ascii"))


def signed_head(store: Store) -> SignedHead | None:
    """The head of the trail that the CA signed last."""
    _, _, *signed = store.small(_ENDS)[0]
    return None if signed[0] is None else store.make_record(_signed_head, signed)


def _signed_head(seq: int, digest: object, issuer: int, signature: object, found: object) -> SignedHead:
    """A head that cannot be is one that no CA signed; it stops no revocation."""
    values = [value if isinstance(value, bytes) else b"" for value in (digest, signature, found)]
    return SignedHead(AuditHead(seq, values[0]), issuer, values[1], None if found is None else values[2])


def newest_signed(store: Store) -> AuditHead | None:
    """The head that the CA signed last, without its signature."""
    signed = signed_head(store)
    return signed.head if signed else None


def count_by_command(store: Store, *, since_seq: int, before_seq: int | None = None) -> dict[str, int]:
    """How many rows each command added after ``since_seq``, and before ``before_seq`` where that is given."""
    query = """SELECT command, count(*) FROM audit WHERE seq > :since AND (:before IS NULL OR seq < :before)
        GROUP BY command ORDER BY min(seq)"""
    return dict(store.rows(query, {"since": since_seq, "before": before_seq}))


def count_unsealed(store: Store, *, but_own: bool = False) -> dict[str, int]:
    """How many rows each command added since the CA signed the head; ``but_own``: without those of this connection."""
    signed = newest_signed(store)
    if signed == head(store):
        return {}
    before = store.first_own_row if but_own else None
    return count_by_command(store, since_seq=signed.seq if signed else 0, before_seq=before)


def checkpoint(store: Store, *, since_seq: int) -> str | None:
    """The detail of a row after ``since_seq`` that begins the seals: what an earlier version left, by table."""
    query = """SELECT detail FROM audit WHERE seq > ? AND subject = ? AND serial = ''
        AND iif(json_valid(detail), json_extract(detail, '$.checkpoint'), NULL) IS NOT NULL LIMIT 1"""
    return store.record(str, query, (since_seq, ROWS))


def has_row_seals(store: Store) -> bool:
    """Say whether any row of the trail holds digests of others; reads the trail through where there is none."""
    return store.row("SELECT 1 FROM audit WHERE subject = ? AND serial = '' LIMIT 1", (ROWS,)) is not None


def set_signed_head(store: Store, signed: SignedHead) -> None:
    """Keep a signature of the newest row of the trail in place of the one before."""
    store.execute("DELETE FROM audit_head WHERE seq <> ?", (signed.head.seq,))
    store.execute(
        "INSERT OR REPLACE INTO audit_head (seq, hash, issuer, signature) VALUES (?, ?, ?, ?)",
        row := (signed.head.seq, signed.head.hash, signed.issuer, signed.signature),
    )
    store.know_small(_ENDS, [(signed.head.seq, signed.head.hash, *row, signed.head.hash)])
