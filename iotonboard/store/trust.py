"""CAs of others whose devices brokers let in too, and the lists of these CAs that are in force."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from iotonboard.model import from_epoch, to_epoch
from iotonboard.store.issuers import own_certificates
from iotonboard.store.left_to_do import TRUST_CHANGES
from iotonboard.store.values import number, octets, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from iotonboard.store.store import Store

ENDS = "trust_ends"  # when the first of their fleets is locked out, where no newer list comes; 0 without one


@dataclass(frozen=True, slots=True)
class TrustedCa:
    """A CA of others. ``fingerprint`` is SHA-256 of its certificate in lower-case hex, ``name`` its subject for people.

    ``sealed_by`` is the certificate (DER) of the CA of this state that signed that it is trusted with its lists;
    ``b""`` when that CA is gone.
    """

    id: int
    fingerprint: str
    name: str
    der: bytes
    not_after: datetime
    added_at: datetime
    sealed_by: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class TrustedCrl:
    """A list of such a CA. ``digest`` is SHA-256 of its octets in lower-case hex, ``number`` 0 where it has none."""

    digest: str
    number: int
    this_update: datetime
    next_update: datetime
    revoked: int
    der: bytes


def trusted_cas(store: Store) -> list[TrustedCa]:
    """The CAs of others that are trusted, in the order in which they came; none in a database of an earlier version."""
    if not _has_table(store):
        return []
    certificates = own_certificates(store)
    query = """SELECT id, sha256, name, der, not_after, added_at, issuer, coalesce(signature, x'') FROM trusted_ca
        WHERE removed_at IS NULL ORDER BY id"""
    return store.records(lambda *row: _ca(row, certificates), query)


def every_foreign_ca(store: Store) -> list[bytes]:
    """Certificates (DER) of those that are trusted, or were."""
    return store.records(octets, "SELECT der FROM trusted_ca") if _has_table(store) else []


def removed_cas(store: Store) -> list[str]:
    """Fingerprints of those that were taken out again."""
    return store.records(_hex, "SELECT sha256 FROM trusted_ca WHERE removed_at IS NOT NULL ORDER BY id")


def trusted_crls(store: Store, ca: int) -> list[TrustedCrl]:
    """The lists of a CA of others, the one that begins first in front; octets that are not the recorded ones are none.

    ``ca`` is its row.
    """
    query = """SELECT sha256, number, this_update, next_update, revoked, der FROM trusted_crl WHERE ca = ?
        ORDER BY this_update, sha256"""
    return [one for one in store.records(_crl, query, (ca,)) if sha256(one.der).hexdigest() == one.digest]


def trust(store: Store, der: bytes, name: str, not_after: datetime, now: datetime) -> int:
    """Record that a CA of others is trusted, in the caller's transaction; returns its row."""
    store.execute(
        "INSERT INTO trusted_ca (sha256, name, der, not_after, added_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (sha256)"
        " DO UPDATE SET added_at = excluded.added_at, removed_at = NULL WHERE removed_at IS NOT NULL",
        (sha256(der).digest(), name, der, to_epoch(not_after), to_epoch(now)),
    )
    return int(store.row("SELECT id FROM trusted_ca WHERE sha256 = ?", (sha256(der).digest(),))[0])


def replace_crls(store: Store, ca: int, crls: Iterable[TrustedCrl]) -> None:
    """Put these lists in the place of all that a CA of others has, in the caller's transaction."""
    store.execute("DELETE FROM trusted_crl WHERE ca = ?", (ca,))
    for one in crls:
        values = (bytes.fromhex(one.digest), ca, str(one.number or ""), to_epoch(one.this_update))
        store.execute(
            "INSERT INTO trusted_crl (sha256, ca, number, this_update, next_update, revoked, der)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*values, to_epoch(one.next_update), one.revoked, one.der),
        )


def set_trust_seal(store: Store, ca: int, issuer: int, signature: bytes) -> None:
    """Keep what a CA of this state signed of the trust in another, in the caller's transaction."""
    store.execute("UPDATE trusted_ca SET issuer = ?, signature = ? WHERE id = ?", (issuer, signature, ca))


def distrust(store: Store, ca: int, now: datetime) -> None:
    """Take a CA of others out again, with its lists, in the caller's transaction."""
    store.execute("DELETE FROM trusted_crl WHERE ca = ?", (ca,))
    store.execute(
        "UPDATE trusted_ca SET removed_at = ?, issuer = NULL, signature = NULL WHERE id = ?", (to_epoch(now), ca)
    )


def count_trust_change(store: Store) -> None:
    """Note, in the caller's transaction, that what is published of CAs of others is to be written anew, and its end."""
    store.set_meta(TRUST_CHANGES, (store.number(TRUST_CHANGES) or 0) + 1)
    last_ends = """SELECT max(c.next_update) AS last FROM trusted_crl c JOIN trusted_ca t ON t.id = c.ca
        WHERE t.removed_at IS NULL GROUP BY c.ca"""
    store.set_meta(ENDS, store.row(f"SELECT min(last) FROM ({last_ends})")[0] or 0)


def _has_table(store: Store) -> bool:
    return store.row("SELECT 1 FROM sqlite_master WHERE name = 'trusted_ca'") is not None


def _hex(digest: bytes) -> str:
    return octets(digest).hex()


def _ca(row: Sequence[Any], certificates: Mapping[int, bytes]) -> TrustedCa:
    ca, digest, name, der, not_after, added_at, issuer, signature = row
    times = from_epoch(not_after), from_epoch(added_at)
    sealed_by = certificates.get(issuer, b"")
    return TrustedCa(number(ca), _hex(digest), text(name), octets(der), *times, sealed_by, octets(signature))


def _crl(digest: bytes, crl_number: str, begin: int, end: int, revoked: int, der: bytes) -> TrustedCrl:
    times = from_epoch(begin), from_epoch(end)
    return TrustedCrl(_hex(digest), int(crl_number or 0), *times, number(revoked), octets(der))
