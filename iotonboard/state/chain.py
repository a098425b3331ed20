"""How a CA goes out: as its own certificate, or as the one that a root made of its key, with all above it.

A chain counts because the CA's own key signed it: whoever writes on the disk puts no root in front of devices so. What
is not signed goes out nowhere, and ``health`` tells of it.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.errors import PolicyError
from iotonboard.pki import der, verifying
from iotonboard.store.chains import chain_statement, recorded_chain
from iotonboard.store.issuers import all_issuers, current_issuers
from iotonboard.store.kind import is_below_root
from iotonboard.store.succession import cas_in_force

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from iotonboard.store.issuers import IssuerRow
    from iotonboard.store.store import Store

_SUBJECT, _SPKI = 5, 6  # of a TBSCertificate with a version (RFC 5280 4.1)


def chain_in_force(store: Store, issuer: IssuerRow) -> tuple[bytes, ...]:
    """Certificates (DER) of a CA as it goes out: its own first, the anchor last.

    One certificate alone, that of its row, where it signs itself, or has a chain that it did not sign.
    """
    recorded = recorded_chain(store, issuer.id)
    return (recorded and _judged(issuer.der, recorded.certificates, recorded.signature)) or (issuer.der,)


def has_planted_chain(store: Store, issuer: IssuerRow) -> bool:
    """Say whether a chain is recorded that the CA did not sign."""
    recorded = recorded_chain(store, issuer.id)
    return recorded is not None and not _judged(issuer.der, recorded.certificates, recorded.signature)


def going_out(store: Store, issuers: Sequence[IssuerRow]) -> list[IssuerRow]:
    """Those of the CAs (newest first) of which something may go out: not one that waits for its root's answer.

    One waits that was made to stand below a root, or that followed one with a root, and has no chain yet.
    """
    found: list[IssuerRow] = []
    below = is_below_root(store)
    ended = set(ended_issuers(store)) if len(issuers) < len(all_issuers(store)) else set()
    for issuer in reversed(all_issuers(store)):
        if issuer in ended or issuer in issuers:
            has_chain = len(chain_in_force(store, issuer)) > 1
            below = below or has_chain
            if issuer in issuers and (has_chain or not below):
                found.insert(0, issuer)
    return found


def ended_issuers(store: Store) -> list[IssuerRow]:
    """The CAs that the trail tells were retired or replaced, newest first."""
    rows = all_issuers(store)
    _, ended = cas_in_force(store, [row.der for row in rows])
    return [row for row in rows if row.fingerprint in ended]


def published_cas(store: Store, issuers: Sequence[IssuerRow]) -> list[bytes]:
    """What brokers have of our own, DER: the roots first, then the CAs below them; none while all wait for a root.

    Where a CA was replaced and the new one waits, the root stays: without it the old one would stay in the file.
    """
    out = going_out(store, issuers)
    chains = [chain_in_force(store, issuer) for issuer in out or ended_issuers(store)]
    if not out:
        chains = [chain[1:] for chain in chains if len(chain) > 1]
    roots, below = (chain[-1] for chain in chains), (der for chain in chains for der in chain[:-1])
    return list(dict.fromkeys((*roots, *below)))


def is_waiting(store: Store) -> bool:
    """Say whether the CA that issues waits for its root's answer."""
    issuers = current_issuers(store)
    return bool(issuers) and issuers[0] not in going_out(store, issuers)


def refuse_waiting(store: Store) -> None:
    """Refuse to certify anything while the CA that issues waits for its root's answer.

    Raises:
        PolicyError: it does.
    """
    if is_waiting(store):
        raise PolicyError(
            "this CA waits for its root: nothing is certified before its answer is installed",
            hint="type: iotonboard ca request --out FILE, and 'iotonboard ca install FILE' with the root's answer",
        )


@lru_cache(maxsize=8)  # a batch asks for each device
def _judged(own_der: bytes, certificates: bytes, signature: bytes) -> tuple[bytes, ...]:
    """The certificates of a chain that is signed, or none."""
    try:
        chain = split_chain(certificates)
        is_own = identity(chain[0]) == identity(own_der)
    except (PolicyError, IndexError):
        return ()
    return chain if is_own and verifying.statement_holds(own_der, statement_of(chain), signature) else ()


def split_chain(certificates: bytes) -> tuple[bytes, ...]:
    """Take DERs apart that stand one behind the other.

    Raises:
        PolicyError: they are none.
    """
    found, begin = [], 0
    while begin < len(certificates):
        element = der.read(certificates, begin)
        found.append(certificates[begin : element.end])
        begin = element.end
    return tuple(found)


def identity(certificate_der: bytes) -> tuple[bytes, bytes]:
    """Name and public key of a certificate, as they are encoded: what makes a CA.

    Raises:
        PolicyError: it is none.
        IndexError: likewise.
    """
    tbs, *_ = der.children(certificate_der, der.whole(certificate_der))
    fields = der.children(certificate_der, tbs)
    name, key = (certificate_der[fields[place].start : fields[place].end] for place in (_SUBJECT, _SPKI))
    return name, key


def statement_of(chain: Iterable[bytes]) -> bytes:
    """The octets that a CA signs for its chain of certificates (DER), its own first."""
    return chain_statement([sha256(one).hexdigest() for one in chain])
