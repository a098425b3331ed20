"""Whether the audit trail is as a CA of this state sealed it last, and what stands behind the seal that cannot.

Looked at before the trail is sealed again, too: else the next signature would cover up what was changed before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.pki.verifying import statement_holds
from iotonboard.store import audit, trail_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from iotonboard.store.audit import SignedHead
    from iotonboard.store.store import Store

# What the detail of a row tells that the CA signs with it: what it issued, released, sealed, packed, told, or added.
_NEEDS_KEY = frozenset(
    {"added_ca", "compromised", "counter", "crl_number", "fingerprint", "journal", "password", "released", "sealed"}
)
_REPAIRED = "repaired"


def seal_problem(signed: SignedHead | None, certificates: Mapping[int, bytes]) -> str:
    """What is wrong with the head that was signed last, in words; empty when nothing is.

    ``certificates``: DER of the CAs whose signature counts, by their rows.
    """
    if signed is None:
        return "the signed head of the trail is missing"
    certificate, seq = certificates.get(signed.issuer, b""), signed.head.seq
    if not statement_holds(certificate, audit.head_statement(signed.head), signed.signature):
        return "the head of the trail was not signed by this CA"
    if signed.found is None:
        return f"row {seq}, whose head the CA signed, is gone: the tail was cut off"
    if signed.found != signed.head.hash:
        return f"row {seq} is not the one that the CA signed: the trail was rewritten"
    return ""


def unsigned_rows(store: Store, signed: SignedHead | None, *, before: int | None = None) -> Iterator[int]:
    """Numbers of rows behind the signed head, up to ``before``, that the program never leaves unsigned."""
    keys = (*_NEEDS_KEY, _REPAIRED)
    for row in trail_rows.rows_telling(store, keys, since_seq=signed.head.seq if signed else 0):
        if before is not None and row.seq >= before:
            return
        told = row.said.keys()
        if (
            not row.hash
            or (told & _NEEDS_KEY and "adopted" not in told)
            or (row.subject == audit.ROWS and _REPAIRED in told)
        ):
            yield row.seq
