"""Checks of the audit trail as a whole: the chain, the head that the CA signed, and what the trail says was done."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.model import SerialNumber
from iotonboard.pki.statement import statement_holds
from iotonboard.store import audit
from iotonboard.store.audit import signed_head
from iotonboard.store.issuers import all_issuers

if TYPE_CHECKING:
    from iotonboard.store.audit import AuditHead
    from iotonboard.store.store import Store


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check of the trail found; ``broken_row`` is 0 and ``problem`` empty when all is well."""

    rows: int
    broken_row: int = 0
    problem: str = ""


def check_trail(store: Store, *, newest: int | None = None) -> Verdict:
    """Check the chain, or that of its ``newest`` rows, and the head that the CA signed last.

    A trail whose tail was cut off still chains; the signed head then names a row that is gone.
    """
    head = audit.head(store.connection)
    broken = audit.first_broken(store.connection, since_seq=max(head.seq - newest, 0) if newest else 0)
    if broken is not None:
        return Verdict(head.seq, broken, f"row {broken} does not follow from the one before")
    problem = _signed_head_problem(store, head)
    return Verdict(head.seq, head.seq + 1 if problem else 0, problem)


def _signed_head_problem(store: Store, newest: AuditHead) -> str:
    signed = signed_head(store)
    if signed is None:
        return "the signed head of the trail is missing"
    seq, digest, issuer, signature = signed
    certificates = {row.id: row.der for row in all_issuers(store)}
    if issuer not in certificates or not statement_holds(
        certificates[issuer], audit.head_statement(audit.AuditHead(seq, digest)), signature
    ):
        return "the head of the trail was not signed by this CA"
    if seq > newest.seq:
        return f"row {seq}, whose head the CA signed, is gone: the tail was cut off"
    if audit.hash_of(store.connection, seq) != digest:
        return f"row {seq} is not the one that the CA signed: the trail was rewritten"
    return ""


def fill_trail_table(store: Store) -> None:
    """Fold the trail into the temporary table ``trail``: what it says of each certificate.

    Columns: serial (20 octets), subject, fingerprint, revoked (reason or NULL), bundle (SHA-256 or NULL). The table is
    temporary, so SQLite moves it to disk when it grows.
    """
    connection = store.connection
    connection.execute("DROP TABLE IF EXISTS temp.trail")
    connection.execute(
        "CREATE TEMP TABLE trail (serial BLOB PRIMARY KEY, subject TEXT, fingerprint TEXT, revoked TEXT, bundle TEXT)"
    )
    for row in audit.rows(connection):
        if not row.serial or row.subject == "ca":
            continue
        serial, detail = SerialNumber.from_hex(row.serial).octets, json.loads(row.detail)
        connection.execute("INSERT OR IGNORE INTO trail (serial, subject) VALUES (?, ?)", (serial, row.subject))
        for column, key in (("fingerprint", "fingerprint"), ("bundle", "bundle"), ("revoked", "revoked")):
            if key in detail:
                connection.execute(f"UPDATE trail SET {column} = ? WHERE serial = ?", (detail[key], serial))  # noqa: S608
        if "released" in detail:
            connection.execute("UPDATE trail SET revoked = NULL WHERE serial = ?", (serial,))
