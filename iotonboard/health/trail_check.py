"""Checks of the audit trail as a whole: the chain of its rows, and the head that the CA signed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.ca.trail_seal import seal_problem, unsigned_rows
from iotonboard.errors import PolicyError, quoted
from iotonboard.model import rfc3339
from iotonboard.store import audit, trail_rows
from iotonboard.store.issuers import own_certificates

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.store.store import Store


@dataclass(frozen=True, slots=True)
class TrailFinding:
    """What a check of the trail found; ``broken_row`` is 0 and ``problem`` empty when all is well."""

    rows: int
    broken_row: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found: ``broken_row`` is 0 and ``problem`` empty when all is well.

    ``lost``: how many rows of the carried head's trail are gone for certain. ``added``: how many rows each command
    added since that head; ``unsealed``: since the CA signed the trail last.
    """

    rows: int
    broken_row: int
    problem: str
    lost: int
    added: dict[str, int]
    unsealed: dict[str, int]


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


def parse_head(text: str) -> tuple[int, str]:
    """Number and digits of a head as ``audit head`` prints it.

    Raises:
        PolicyError: it is none.
    """
    number, _, digits = text.strip().partition(":")
    digits = re.sub("[- ]", "", digits).upper()
    if not re.fullmatch("[0-9]{1,18}", number) or not re.fullmatch(f"[0-9A-F]{{{audit.HEAD_DIGITS}}}", digits):
        raise PolicyError(
            f"{quoted(text)} is not a head of the trail", hint="type it as 'iotonboard audit head' printed it"
        )
    return int(number), digits


def is_cut_off(seq: int, lost: int) -> str:
    """What is wrong when a row that was carried away is gone, with all behind it."""
    first = seq - lost + 1
    return f"row {seq}, which was carried away, is gone: the tail was cut off: rows {first} to {seq} are lost"


def is_rewritten(seq: int, time: datetime | None) -> str:
    """What is wrong when another row, of that time, stands in the place of one that was carried away."""
    after = rfc3339(time) if time else "nobody knows when"
    return (
        f"row {seq} is not the one whose head was carried away: rows up to it were lost or rewritten, and others stand"
        f" in their place (row {seq} is of {after} now)"
    )
