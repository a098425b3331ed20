"""Which CAs are this state's, as the audit trail tells: the first, and each that one before signed as its successor.

A row of ``issuer`` says nothing by itself: whoever writes the database can add one, with a key of his own. What he
cannot make is the signature of a CA that was there. Where an earlier version made a successor, it signed none: such
CAs, and the first, stand in the trail before the rows of the database were sealed.
"""

from __future__ import annotations

import json
from functools import lru_cache
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any

from iotonboard.store import audit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from iotonboard.store.store import Store

    # Whether the holder of a certificate or key (DER) signed a statement: certificate or key, statement, signature.
    Verifies = Callable[[bytes, bytes, bytes], bool]

_ALL = 1 << 62
_NEW = "fingerprint"
_RECOVERY = "recovery"
VOUCHED = "vouched"  # key of the signature, in hex, in the row of the trail that tells of a new CA
_FIRST_SEALED = "SELECT seq FROM audit WHERE subject = 'rows' AND serial = '' ORDER BY seq LIMIT 1"


def succession_statement(fingerprint: str) -> bytes:
    """The octets that a CA signs for the one that comes after it, named by SHA-256 of its certificate in hex."""
    return b"iotonboard successor v1\n%s\n" % fingerprint.encode("ascii")


def recovery_statement(spki: str) -> bytes:
    """The octets that a CA signs for the key that names the one after it, should its own be lost (public, in hex)."""
    return b"iotonboard recovery v1\n%s\n" % spki.encode("ascii")


def cas_in_force(store: Store, ders: Iterable[bytes]) -> tuple[frozenset[str], frozenset[str]]:
    """Fingerprints of the CAs that the trail tells are in force, and of those that it tells ended.

    ``ders``: the certificates of all rows. Both are empty where the trail tells of no CA. A store that nobody gave what
    verifies (``Store.verifies``) believes what is told. Whose key the passphrase opened is this state's too.
    """
    own = _told(store, ders)
    in_force, ended = (frozenset(one for one in own if (own[one] == _ALL) is is_own) for is_own in (True, False))
    proven = {sha256(der).hexdigest() for der in store.proven_cas.values()}
    return in_force and in_force | proven, ended


def signed_before(store: Store, ders: Iterable[bytes], row: int) -> frozenset[str]:
    """Fingerprints of the CAs that the trail tells were in force when its ``row`` was added; ``ders`` as above."""
    return frozenset(one for one, end in _told(store, ders).items() if row < end)


def recovered_ca(store: Store) -> str:
    """Fingerprint of the CA that ``ca recover`` made, as the trail tells, where that was the newest; else empty."""
    told = ((command, _object(detail)) for _, command, detail in store.small(audit.TOLD_CAS))
    newest = [(command, str(one[_NEW])) for command, one in told if _NEW in one][-1:]
    return next((fingerprint for command, fingerprint in newest if command == "ca recover"), "")


def _told(store: Store, ders: Iterable[bytes]) -> Mapping[str, int]:
    """The CAs of this state by their fingerprints, with the row of the trail that tells of their end."""
    told = tuple((seq, command, detail) for seq, command, detail in store.small(audit.TOLD_CAS))
    unsigned = sum('"fingerprint"' in str(detail) and VOUCHED not in str(detail) for *_, detail in told)
    first = store.small(_FIRST_SEALED) if unsigned > 1 else [(0,)]
    return _judge(told, tuple(ders), first[0][0] if first else _ALL, store.verifies)


@lru_cache(maxsize=8)
def _judge(
    told: tuple[tuple[int, str, Any], ...], ders: tuple[bytes, ...], until: int, verifies: Verifies | None
) -> Mapping[str, int]:
    certificates = {sha256(der).hexdigest(): der for der in ders}
    details = [(seq, command, _object(detail)) for seq, command, detail in told]
    new = [(seq, command, str(one[_NEW]), one.get(VOUCHED)) for seq, command, one in details if _NEW in one]
    ends = {str(one.get("retired") or one.get("compromised")): seq for seq, _, one in details if _NEW not in one}
    own = {fingerprint for _, command, fingerprint, _ in new if command == "init-ca"}
    if own:
        own |= {fingerprint for seq, _, fingerprint, vouched in new if vouched is None and seq < until}
    recovery = [(seq, one) for seq, _, one in details if _RECOVERY in one]
    for seq, _, fingerprint, vouched in new:
        signers = [certificates.get(one) for one in own if seq < ends.get(one, _ALL)]
        named = ((before, one) for before, one in reversed(recovery) if before < seq and one.get("by") in own)
        signers += islice((key for _, one in named if (key := _key(certificates, one, verifies))), 1)
        if own and any(_signed(der, fingerprint, vouched, verifies) for der in signers):
            own.add(fingerprint)
    return {one: ends.get(one, _ALL) for one in own}


def _key(certificates: Mapping[str, bytes], one: dict[str, Any], verifies: Verifies | None) -> bytes | None:
    """The key (SubjectPublicKeyInfo) that names a CA after a lost one, where a CA signed that it does."""
    spki, signature, der = str(one[_RECOVERY]), one.get("signature"), certificates.get(str(one.get("by")))
    try:
        is_signed = verifies is None or (
            der is not None and verifies(der, recovery_statement(spki), bytes.fromhex(str(signature)))
        )
        return bytes.fromhex(spki) if is_signed else None
    except ValueError:
        return None


def _signed(der: bytes | None, fingerprint: str, signature: object, verifies: Verifies | None) -> bool:
    if verifies is None:
        return True
    if der is None or not isinstance(signature, str):
        return False
    try:
        return verifies(der, succession_statement(fingerprint), bytes.fromhex(signature))
    except ValueError:
        return False


def _object(text: object) -> dict[str, Any]:
    """What a row of the trail tells; nothing, where somebody edited it."""
    try:
        found = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}
