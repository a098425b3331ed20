"""How CAs go out, where that is not by their own rows: chains to a root; and the newest lists of CAs above."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.errors import StateError
from iotonboard.model import from_epoch, to_epoch
from iotonboard.store.issuers import forget_rows, rows_with_chains
from iotonboard.store.values import number, octets, text

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.store.store import Store

_CRLS = "SELECT root, number, this_update, next_update, der FROM root_crl ORDER BY root"


@dataclass(frozen=True, slots=True)
class RecordedChain:
    """What a row says of a CA's chain: certificates (DERs one behind the other), and what the CA signed of them."""

    certificates: bytes
    installed_at: datetime
    signature: bytes


@dataclass(frozen=True, slots=True)
class RootCrl:
    """The newest list that is here of a CA above; ``root`` is SHA-256 of its certificate in lower-case hex.

    ``number`` is 0 where the list has none.
    """

    root: str
    number: int
    this_update: datetime
    next_update: datetime
    der: bytes


def chain_statement(fingerprints: list[str]) -> bytes:
    """The octets that a CA signs for its chain: SHA-256 of each certificate in lower-case hex, its own first."""
    return "".join(f"{line}\n" for line in ("iotonboard chain v1", *fingerprints)).encode("ascii")


def recorded_chain(store: Store, issuer: int) -> RecordedChain | None:
    """The chain of a CA, named by its row; ``None`` where it has none, or one that cannot be."""
    for row, *_, certificates, installed_at, signature in rows_with_chains(store):
        if row == issuer and certificates is not None:
            with contextlib.suppress(StateError):
                return store.make_record(_chain, (certificates, installed_at, signature))
    return None


def _chain(certificates: bytes, installed_at: int, signature: bytes) -> RecordedChain:
    return RecordedChain(octets(certificates), from_epoch(installed_at), octets(signature))


def certified_before_chain(store: Store, fingerprint: str) -> int | None:
    """The newest certificate's row at the time when a CA went out below a root first, as the trail tells.

    The CA is named by SHA-256 of its own certificate in hex; ``None``: it went out by itself alone.
    """
    query = """SELECT json_extract(detail, '$.certified') FROM audit WHERE subject = 'ca' AND command = 'ca install'
        AND iif(json_valid(detail), json_extract(detail, '$.ca'), '') = ? ORDER BY seq LIMIT 1"""
    return store.record(number, query, (fingerprint,))


def newest_certificate(store: Store) -> int:
    """Row of the newest certificate; 0 without one."""
    return int(store.row("SELECT coalesce(max(id), 0) FROM certificate")[0])


def set_chain(store: Store, issuer: int, certificates: bytes, signature: bytes, now: datetime) -> None:
    """Keep how a CA, named by its row, goes out from now on, in the caller's transaction."""
    store.execute(
        "INSERT INTO ca_chain (issuer, certificates, installed_at, signature) VALUES (?, ?, ?, ?) ON CONFLICT (issuer)"
        " DO UPDATE SET certificates = excluded.certificates, installed_at = excluded.installed_at,"
        " signature = excluded.signature",
        (issuer, certificates, to_epoch(now), signature),
    )
    forget_rows(store)


def root_crls(store: Store) -> list[RootCrl]:
    """The lists of CAs above.

    Raises:
        StateError: a row says what cannot be.
    """
    return store.records(_crl, _CRLS)


def root_crl(store: Store, root_der: bytes) -> RootCrl | None:
    """The list of one of them, by its certificate; raises as ``root_crls``."""
    fingerprint = sha256(root_der).hexdigest()
    return next((one for one in root_crls(store) if one.root == fingerprint), None)


def _crl(root: bytes, crl_number: str, begin: int, end: int, der: bytes) -> RootCrl:
    return RootCrl(octets(root).hex(), int(text(crl_number) or 0), from_epoch(begin), from_epoch(end), octets(der))


def set_root_crl(store: Store, crl: RootCrl) -> None:
    """Put a list in the place of the one before, in the caller's transaction."""
    times = to_epoch(crl.this_update), to_epoch(crl.next_update)
    store.execute(
        "INSERT INTO root_crl (root, number, this_update, next_update, der) VALUES (?, ?, ?, ?, ?) ON CONFLICT (root)"
        " DO UPDATE SET number = excluded.number, this_update = excluded.this_update,"
        " next_update = excluded.next_update, der = excluded.der",
        (bytes.fromhex(crl.root), str(crl.number or ""), *times, crl.der),
    )
