"""Checks of the audit trail as a whole: the chain of its rows, and the head that the CA signed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.ca.trail_seal import seal_problem, unsigned_rows
from iotonboard.store import audit, trail_rows
from iotonboard.store.issuers import own_certificates

if TYPE_CHECKING:
    from iotonboard.store.store import Store


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
    broken = trail_rows.first_broken(store, since_seq=max(head.seq - newest, 0) if newest else 0)
    if broken is not None:
        return TrailFinding(head.seq, broken, f"row {broken} does not follow from the one before")
    signed = audit.signed_head(store)
    problem = seal_problem(signed, own_certificates(store))
    if problem:
        return TrailFinding(head.seq, head.seq + 1, problem)
    unsigned = next(unsigned_rows(store, signed), 0)
    problem = f"row {unsigned} tells what is done with the CA key alone, and the CA did not sign it" if unsigned else ""
    return TrailFinding(head.seq, unsigned, problem)
