"""Lists of this state's CAs that this database did not sign: another copy of the state did.

The module is loaded where a place of publication holds something else than what was written there last.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.disk.reading import read_file
from iotonboard.errors import ConflictError, IotOnboardError, PolicyError
from iotonboard.pki import pem
from iotonboard.pki.crl import any_crl_facts, check_crl, foreign_crl_facts
from iotonboard.state.places import Place, is_as_left
from iotonboard.store import compromised
from iotonboard.store.crls import crl_without_digest, known_crl, last_crl
from iotonboard.store.issuers import all_issuers

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.pki.crl import CrlFacts
    from iotonboard.state.state import State
    from iotonboard.store.issuers import IssuerRow

# No honest CA counts so far. A number beyond is of a thief of its key, and stands in nobody's way.
LARGEST_NUMBER = 1 << 62


def refuse_unknown(state: State) -> None:
    """Make sure that no list of another copy lies where one is about to be published: it may revoke what no other does.

    Raises:
        ConflictError: one does; the next list that is signed takes it up.
    """
    for crls in unknown_crls(state).values():
        number = max(any_crl_facts(der).number for der in crls)
        raise ConflictError(
            f"another copy of this state put its CRL {number} into {state.paths.crl!r}, and that may revoke more",
            hint="type: iotonboard gen-crl, which takes up what it revokes",
        )


def signer_of(state: State, der: bytes) -> IssuerRow | None:
    """The CA of this state that signed a CRL; ``None`` when none of them did."""
    rows = all_issuers(state.store)
    return next((row for judge in (check_crl, foreign_crl_facts) for row in rows if _is_from(der, row, judge)), None)


def _is_from(der: bytes, issuer: IssuerRow, judge: Callable[[bytes, bytes], CrlFacts]) -> bool:
    """Say whether a CA signed a list: with its usual digest, as this program does, or as another one did before."""
    try:
        judge(der, issuer.der)
    except PolicyError:
        return False
    return True


def is_known(state: State, der: bytes, facts: CrlFacts) -> bool:
    """Say whether a list was signed here, or was taken up."""
    if known := known_crl(state.store, sha256(der).digest()):
        return facts.number >= LARGEST_NUMBER or _is_passed(state, der, facts.number, known[0])
    if facts.number >= LARGEST_NUMBER:
        return False
    # Signed by a version that kept no digest, and thinned out since: number, times and count stayed.
    rows = [crl_without_digest(state.store, issuer.id, facts.number) for issuer in all_issuers(state.store)]
    said = (facts.this_update, facts.next_update, facts.count)
    return any(row is not None and (row.this_update, row.next_update, row.revoked) == said for row in rows)


def _is_passed(state: State, der: bytes, number: int, noted_issuer: object) -> bool:
    """Say whether the lists of a CRL's CA have its number behind them; asks who signed it where the note is wrong."""
    last = last_crl(state.store, noted_issuer, with_der=False) if isinstance(noted_issuer, int) else None
    if last is None or last.number < number:
        signer = signer_of(state, der)
        last = last_crl(state.store, signer.id, with_der=False) if signer else None
    return last is not None and last.number >= number


def unknown_crls(state: State) -> dict[IssuerRow, list[bytes]]:
    """The CRLs of this state's CAs in the place of publication that the database does not know.

    A file that is the one written last is not looked at.
    """
    found: dict[IssuerRow, list[bytes]] = {}
    for der in _published(state):
        facts = _facts(der)
        if facts is None or is_known(state, der, facts):
            continue
        issuer = signer_of(state, der)
        if issuer and not compromised.is_compromised(state.store, issuer.id):  # a thief signs what he likes
            found.setdefault(issuer, []).append(der)
    return found


def _facts(der: bytes) -> CrlFacts | None:
    try:
        return any_crl_facts(der)
    except PolicyError:
        return None


def _published(state: State) -> list[bytes]:
    """The CRLs in the place of publication when the file is not the one that was written last.

    None without a readable file: it is written anew. Blocks that cannot be read hide none of the others.
    """
    if is_as_left(state, Place.CRL):
        return []
    try:
        return pem.pem_blocks("X509 CRL", read_file(state.paths.crl, limit=1 << 30))
    except IotOnboardError:
        return []
