"""A chain that a CA goes out with from now on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.state.chain import statement_of
from iotonboard.store.brokers import live_broker_hosts
from iotonboard.store.certificates import broker_certificates
from iotonboard.store.chains import set_chain
from iotonboard.store.pending import add_pending
from iotonboard.store.trust import count_trust_change

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from iotonboard.store.store import Store


def record_chain(
    store: Store, issuer: int, chain: Sequence[bytes], sign: Callable[[bytes], bytes], now: datetime
) -> None:
    """Let a CA, named by its row, go out with this chain from now on, in the caller's transaction.

    ``sign`` signs with that CA's key. The files for brokers count as not yet written, their certificates too.
    """
    set_chain(store, issuer, b"".join(chain), sign(statement_of(chain)), now)
    count_trust_change(store)
    for host in live_broker_hosts(store, now):
        add_pending(store, broker_certificates(store, host)[0].serial, None)
