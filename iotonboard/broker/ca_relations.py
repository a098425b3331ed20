"""How the CAs of a broker's files belong together: who signed whom, and whom a root took back.

A station keeps its key and its name when a root certifies it, so a CA is known by these two and not by a certificate.
A broker looks at the list of a device's own CA alone: that of the root stops no station there. So whoever puts files in
place asks here which CAs the lists of those above them revoke, and leaves them out, with their lists.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from cryptography import x509

from iotonboard.errors import PolicyError
from iotonboard.model import RevocationReason
from iotonboard.pki.crl import CrlFacts, check_crl, entries_of_any_writer, foreign_crl_facts
from iotonboard.pki.facts import is_issued_by
from iotonboard.pki.key_id import key_id, same_ca
from iotonboard.pki.parse_errors import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

# What says that one certificate is not to be used any more, and nothing against its key.
_OF_ONE_CERTIFICATE = {RevocationReason.SUPERSEDED}


def list_facts(crl_der: bytes, ca_der: bytes) -> CrlFacts | None:
    """What a list says that a CA signed, with this program or another; ``None`` when it did not."""
    for read in (check_crl, foreign_crl_facts):
        with contextlib.suppress(PolicyError):
            return read(crl_der, ca_der)
    return None


def key_of(der: bytes) -> str:
    """The name of a CA's key (``pki.key_id``); empty for what is no certificate."""
    with contextlib.suppress(PolicyError):
        return key_id(der)
    return ""


def vouched(anchors: Sequence[bytes], certificates: Iterable[bytes], withdrawn: Collection[str] = ()) -> list[bytes]:
    """The anchors, and of some certificates the CAs that lead to one of them (RFC 5280 6.1, without times), DER.

    ``withdrawn`` are the keys (``pki.key_id``) of CAs that count no more, nor what is below them.
    """
    found = {der: _paths_below(der) for der in anchors if key_of(der) not in withdrawn}
    left = [der for der in dict.fromkeys(certificates) if der not in found and key_of(der) not in withdrawn]
    while new := {der: below for der in left if (below := _below(der, found)) is not None}:
        found |= new
        left = [der for der in left if der not in new]
    return list(found)


def _below(der: bytes, found: dict[bytes, int]) -> int | None:
    """How many CAs may come below one that was found to lead to an anchor; ``None`` where it does not."""
    allowed = _paths_below(der)
    above = [left - 1 for ca, left in found.items() if left > 0 and _issued(ca, der)]
    return min(allowed, max(above)) if above and allowed >= 0 else None


def _paths_below(der: bytes) -> int:
    """PathLenConstraint of a CA (RFC 5280 4.2.1.9); many where it has none, and -1 of what is no CA."""
    try:
        values = {type(one.value): one.value for one in x509.load_der_x509_certificate(der).extensions}
    except UNREADABLE:
        return -1
    constraints, usage = values.get(x509.BasicConstraints), values.get(x509.KeyUsage)
    if not isinstance(constraints, x509.BasicConstraints) or not constraints.ca:
        return -1
    if isinstance(usage, x509.KeyUsage) and not usage.key_cert_sign:
        return 0
    return 1 << 16 if constraints.path_length is None else constraints.path_length


def certifies_cas(der: bytes) -> bool:
    """Say whether a CA may certify others (RFC 5280 4.2.1.9): one that this program made for devices may not."""
    return _paths_below(der) > 0


def _issued(ca: bytes, der: bytes) -> bool:
    with contextlib.suppress(PolicyError):
        return ca != der and is_issued_by(der, ca)
    return False


def revoked_above(cas: Sequence[bytes], lists: Iterable[bytes]) -> tuple[list[bytes], set[str]]:
    """The CAs that the newest list of the CA above them revokes, DER, and the keys that count no more for it.

    Every certificate of such a key goes. Of one that was only superseded the key stays, where it has another one.
    """
    levels = {above: [der for der in cas if _issued(above, der) and not same_ca(above, der)] for above in cas}
    if not any(levels.values()):  # large lists are not read for nothing
        return [], set()
    gone: list[bytes] = []
    keys: set[str] = set()
    superseded: set[str] = set()
    lists = list(dict.fromkeys(lists))
    for above, below in levels.items():
        own = [(facts.number, der) for der in lists if (facts := list_facts(der, above))] if below else []
        if not own:
            continue
        entries = {int(serial): reason for serial, _, reason in entries_of_any_writer(max(own)[1])}
        for der in below:
            reason = entries.get(x509.load_der_x509_certificate(der).serial_number)
            if reason is not None:
                gone.append(der)
                (superseded if reason in _OF_ONE_CERTIFICATE else keys).add(key_id(der))
    keys |= superseded - {key_of(der) for der in cas if der not in gone}
    return [der for der in cas if der in gone or key_of(der) in keys], keys


def sibling_keys(cas: Sequence[bytes], own: Collection[str]) -> frozenset[str]:
    """The keys of the CAs that have a CA above them with one of the ``own`` keys in common, or that are above one.

    These are other stations of one root, and the root: what they brought stays beside what a station brings.
    """
    mine = [der for der in cas if key_of(der) in own]
    above = [ca for ca in cas if any(_issued(ca, der) for der in mine)]
    beside = [der for der in cas if any(_issued(ca, der) for ca in (*above, *mine))]
    return frozenset(key_id(der) for der in (*above, *beside)) - set(own)
