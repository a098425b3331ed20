"""How brokers were set up: what is not in their certificates, so that issuing again need not be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.model import to_epoch

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.store.store import Store


@dataclass(frozen=True, slots=True)
class BrokerSetup:
    """The port of a broker, whether its key is also kept in the clear, and the folder on this machine that it reads.

    ``folder`` is empty where none was made. ``seen_as`` is its path in the broker's container; empty: the same.
    """

    host: str
    port: int
    has_plain_key: bool
    folder: str
    seen_as: str = ""


def broker_setup(store: Store, host: str) -> BrokerSetup | None:
    """How a broker was set up last; ``None`` for one of a state of schema 2, or none at all."""
    query = "SELECT host, port, has_plain_key, folder, seen_as FROM broker WHERE host = ?"
    return store.record(_setup, query, (host,))


def newest_broker(store: Store) -> BrokerSetup | None:
    """The broker that got a certificate last, of those whose newest one is not revoked."""
    query = """SELECT b.host, b.port, b.has_plain_key, b.folder, b.seen_as FROM broker b JOIN unrevoked_certificate c
        ON c.host = b.host WHERE c.id IN (SELECT max(id) FROM certificate WHERE host IS NOT NULL GROUP BY host)
        ORDER BY c.id DESC LIMIT 1"""
    return store.record(_setup, query)


def live_broker_hosts(store: Store, now: datetime) -> list[str]:
    """Hosts of brokers with a certificate that is valid or will be, by name."""
    query = "SELECT DISTINCT host FROM unrevoked_certificate WHERE host IS NOT NULL AND not_after >= ? ORDER BY host"
    return store.records(str, query, (to_epoch(now),))


def broker_in(store: Store, folder: str) -> str:
    """The broker whose folder it is; empty when it is nobody's."""
    return store.record(str, "SELECT host FROM broker WHERE folder = ?", (folder,)) or ""


def set_broker(store: Store, setup: BrokerSetup) -> None:
    """Keep how a broker was set up, in the caller's transaction; a folder is one broker's at a time."""
    if setup.folder:
        store.execute("UPDATE broker SET folder = '' WHERE folder = ?", (setup.folder,))
    store.execute(
        "INSERT INTO broker (host, port, has_plain_key, folder, seen_as) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (host) DO UPDATE SET port = excluded.port, has_plain_key = excluded.has_plain_key,"
        " folder = excluded.folder, seen_as = excluded.seen_as",
        (setup.host, setup.port, int(setup.has_plain_key), setup.folder, setup.seen_as),
    )


def _setup(host: str, port: int, has_plain_key: int, folder: str, seen_as: str) -> BrokerSetup:
    return BrokerSetup(host, port, bool(has_plain_key), folder, seen_as)
