"""The newest lists of CAs above: of roots, which the program did not sign."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.model import from_epoch, to_epoch
from iotonboard.store.values import octets, text

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.store.store import Store

_CRLS = "SELECT root, number, this_update, next_update, der FROM root_crl ORDER BY root"


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
