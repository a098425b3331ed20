"""What a broker or device sends behind its own certificate: the CAs up to the anchor, which the other side has.

A broker whose file holds its certificate alone is refused by devices that know the root only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.pki.key_id import same_ca
from iotonboard.pki.pem import pem_blocks, pem_encode
from iotonboard.state import chain
from iotonboard.store.issuers import all_issuers, rows_with_chains

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.store.store import Store

_CHAIN = -3  # place of the chain's certificates in a row of the query


def chains_behind(store: Store) -> dict[int, tuple[bytes, ...]]:
    """The CAs (DER) that are sent behind what a CA certified, by its row; none of a CA that signs itself."""
    if all(row[_CHAIN] is None for row in rows_with_chains(store)):
        return {}
    found = {row.id: chain.chain_in_force(store, row)[:-1] for row in all_issuers(store)}
    return {row: ders for row, ders in found.items() if ders}


def as_sent(der: bytes, behind: Sequence[bytes]) -> bytes:
    """A certificate with the CAs behind it, PEM (RFC 8446 4.4.2)."""
    return b"".join(pem_encode("CERTIFICATE", one) for one in (der, *behind))


def is_as_sent(content: bytes | None, der: bytes, behind: Sequence[bytes]) -> bool:
    """Say whether a device's certificate file is what it was at any time: the certificate, and its CA behind it.

    The files of devices stay as they are when their CA gets another certificate.
    """
    if content is None or not content.startswith(own := as_sent(der, ())):
        return False
    cas = pem_blocks("CERTIFICATE", content[len(own) :])
    is_chain = not cas or (bool(behind) and same_ca(cas[0], behind[0]))
    return is_chain and content == as_sent(der, cas)
