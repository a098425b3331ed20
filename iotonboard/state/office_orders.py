"""Which office's orders a station follows, and which of them stand.

The settings, which a CA seals, name the office by the fingerprint of its first machine's certificate. So whoever writes
the database can take orders away, and put older ones back; of his own he can make none.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.broker import ca_relations
from iotonboard.errors import PolicyError
from iotonboard.exchange.orders import read_orders, split_orders
from iotonboard.model import RevocationReason
from iotonboard.store.audit import GENESIS, hash_of
from iotonboard.store.office_orders import taken_orders
from iotonboard.store.revocations import foreign_entry, recorded_entry

if TYPE_CHECKING:
    from collections.abc import Collection

    from iotonboard.exchange.journal import TrailPoint
    from iotonboard.exchange.orders import OrderedRevocation, Orders
    from iotonboard.exchange.signed import Signed
    from iotonboard.state.state import State

OFFICE, ORDERS = "office", "orders"  # settings
REQUIRED = "required"


def refuse_unknown(pinned: str, signed: Signed, removed: Collection[str] = ()) -> None:
    """Refuse what no machine of an office signed. ``pinned``: SHA-256 of the certificate of its first, in hex.

    ``removed``: keys of its machines that count no more.

    Raises:
        PolicyError: the signer is unknown, or the signature does not hold.
    """
    anchors = [der for der in signed.certificates if sha256(der).hexdigest() == pinned]
    believed = ca_relations.vouched(anchors, signed.certificates, removed)
    if not signed.certificates or signed.certificates[0] not in believed:
        raise PolicyError(
            "these orders are of an office that this station does not trust",
            hint="if it is yours, compare its fingerprint: iotonboard order trust office.crt",
        )
    if not signed.holds(signed.certificates[0]):
        raise PolicyError("the signature of these orders does not hold", hint="copy the file again; nothing was taken")


def standing_orders(state: State) -> Orders | None:
    """The newest orders that were taken of the office that is trusted; ``None`` before the first of them."""
    pinned = state.config[OFFICE]
    for taken in taken_orders(state.store) if pinned else []:
        orders = _read(pinned, taken.content)
        if orders and (orders.office, orders.number) == (taken.registry, taken.number):
            return orders
    return None


@lru_cache(maxsize=4)  # a batch asks for each device
def _read(pinned: str, content: bytes) -> Orders | None:
    try:
        signed = split_orders(content)
        refuse_unknown(pinned, signed)
        return read_orders(signed)
    except PolicyError:  # of an office before, or somebody changed the row
        return None


def is_in_trail(state: State, point: TrailPoint) -> bool:
    """Say whether a row that an office knows is in the trail here: not in an older copy, nor in a fork."""
    found = hash_of(state.store, point.row) if point.row else GENESIS
    return found == point.hash


def waiting_revocations(state: State, orders: Orders) -> list[OrderedRevocation]:
    """Of what an office ordered to revoke, what is not recorded here; a hold may have been ended since."""
    return [
        one
        for one in orders.revocations
        if one.reason is not RevocationReason.CERTIFICATE_HOLD
        and not recorded_entry(state.store, one.serial)
        and not foreign_entry(state.store, one.serial)
    ]
