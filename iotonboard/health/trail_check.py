"""Checks of the audit trail as a whole: the chain of its rows, and the head that the CA signed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.pki.verifying import statement_holds
from iotonboard.store import audit
from iotonboard.store.audit import signed_head
from iotonboard.store.issuers import current_issuers

if TYPE_CHECKING:
    from iotonboard.store.audit import AuditHead
    from iotonboard.store.store import Store


# What the detail of a row tells that the CA signs with it: what it issued, released, sealed, packed, or showed.
_NEEDS_KEY = frozenset({"fingerprint", "compromised", "released", "crl_number", "sealed", "counter", "password"})


@dataclass(frozen=True, slots=True)
class TrailFinding:
    """What a check of the trail found; ``broken_row`` is 0 and ``problem`` empty when all is well."""

    rows: int
    broken_row: int = 0
    problem: str = ""


def check_trail(store: Store, *, newest: int | None = None) -> TrailFinding:
    """Check the chain, or that of its ``newest`` rows, and the head that the CA signed last.

    A trail whose tail was cut off still chains; the signed head then names a row that is gone.
    """
    head = audit.head(store)
    broken = audit.first_broken(store, since_seq=max(head.seq - newest, 0) if newest else 0)
    if broken is not None:
        return TrailFinding(head.seq, broken, f"row {broken} does not follow from the one before")
    problem = _signed_head_problem(store, head)
    if problem:
        return TrailFinding(head.seq, head.seq + 1, problem)
    unsigned = _unsigned_row(store)
    problem = f"row {unsigned} tells what is done with the CA key alone, and the CA did not sign it" if unsigned else ""
    return TrailFinding(head.seq, unsigned, problem)


def _unsigned_row(store: Store) -> int:
    """Number of a row behind the signed head that the program never leaves unsigned; 0 when there is none."""
    signed = signed_head(store)
    for row in audit.rows(store, since_seq=signed.head.seq if signed else 0):
        told = json.loads(row.detail).keys()
        if (told & _NEEDS_KEY and "adopted" not in told) or (row.subject == audit.ROWS and "repaired" in told):
            return row.seq
    return 0


def _signed_head_problem(store: Store, newest: AuditHead) -> str:
    signed = signed_head(store)
    if signed is None:
        return "the signed head of the trail is missing"
    certificate = next((row.der for row in current_issuers(store) if row.id == signed.issuer), None)
    if not certificate or not statement_holds(certificate, audit.head_statement(signed.head), signed.signature):
        return "the head of the trail was not signed by this CA"
    seq = signed.head.seq
    if seq > newest.seq:
        return f"row {seq}, whose head the CA signed, is gone: the tail was cut off"
    if audit.hash_of(store, seq) != signed.head.hash:
        return f"row {seq} is not the one that the CA signed: the trail was rewritten"
    return ""
