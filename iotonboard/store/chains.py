"""How CAs go out, where that is not by their own rows: chains to a root; and the newest lists of CAs above."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import StateError
from iotonboard.model import from_epoch, to_epoch
from iotonboard.store.issuers import forget_rows, rows_with_chains
from iotonboard.store.values import number, octets

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.store.store import Store


@dataclass(frozen=True, slots=True)
class RecordedChain:
    """What a row says of a CA's chain: certificates (DERs one behind the other), and what the CA signed of them."""

    certificates: bytes
    installed_at: datetime
    signature: bytes


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
