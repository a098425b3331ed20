"""What of the revocations is in force at which broker, as far as the brokers' receipts say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from iotonboard.store.brokers import live_broker_hosts
from iotonboard.store.issuers import current_issuers
from iotonboard.store.receipts import count_missing, listed_number, newest_missing, receipts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iotonboard.model import SerialNumber
    from iotonboard.store.receipts import MissingRevocation, ReceiptRow
    from iotonboard.store.store import Store


@dataclass(frozen=True, slots=True)
class Arrival:
    """Whether a revocation is on the list that ``broker`` has in place, by the receipt of a time.

    ``is_read``: the broker was seen to read its files. Only then the revocation is in force for certain. Without a
    ``time`` the broker has a certificate of this state and never sent a receipt.
    """

    broker: str
    time: datetime | None
    is_there: bool
    is_read: bool

    @property
    def text(self) -> str:
        """In words."""
        if self.time is None:
            return f"{self.broker} never reported"
        if not self.is_there:
            return f"not known at {self.broker}"
        return f"in force at {self.broker}" if self.is_read else f"in place at {self.broker}, not seen read"


@dataclass(frozen=True, slots=True)
class Behind:
    """What is revoked and not in force at one broker: how many, and the last of them with its fate at each broker."""

    broker: str
    count: int
    newest: MissingRevocation
    arrivals: tuple[Arrival, ...]


def arrivals(store: Store, issuer: int, serial: SerialNumber, now: datetime) -> tuple[Arrival, ...]:
    """Where the revocation of a certificate of a CA arrived; nothing where no broker sent a receipt."""
    rows = receipts(store)
    listed = listed_number(store, serial) if rows else None
    found = [
        Arrival(name, row.time, listed is not None and listed <= row.numbers.get(issuer, 0), row.is_read)
        for name, row in zip(_names(rows), rows, strict=True)
    ]
    silent = never_reported(store, now) if rows else ()
    return (*found, *(Arrival(host, None, is_there=False, is_read=False) for host in silent))


def never_reported(store: Store, now: datetime) -> tuple[str, ...]:
    """The hosts of brokers with a valid certificate that never sent a receipt, by the name or its first part."""
    known = {name.casefold() for row in receipts(store) for name in (row.broker, row.broker.partition(".")[0])}
    hosts = (host for host in live_broker_hosts(store, now) if host.casefold() not in known)
    return tuple(host for host in hosts if host.partition(".")[0].casefold() not in known or _is_address(host))


def acl_behind(store: Store) -> dict[str, int]:
    """The number of the ACL's change at each broker that has an older one than was published last."""
    rows, newest = receipts(store), store.number("acl_published") or 0
    return {name: row.acl_change for name, row in zip(_names(rows), rows, strict=True) if row.acl_change < newest}


def _is_address(host: str) -> bool:
    """Say whether it is an IP address, of which no part is a machine's name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def brokers_behind(store: Store, now: datetime) -> tuple[int, list[Behind]]:
    """How many brokers sent a receipt, and those that do not know a revocation of a certificate that has time left."""
    rows, found = receipts(store), []
    for name, row in zip(_names(rows), rows, strict=True):
        missing = [
            (issuer.id, last, count_missing(store, issuer.id, number, now))
            for issuer in current_issuers(store)
            if (last := newest_missing(store, issuer.id, number := row.numbers.get(issuer.id, 0), now))
        ]
        if missing:
            issuer, last, _ = max(missing, key=lambda one: one[1].revocation_date)
            fates = arrivals(store, issuer, last.serial, now)
            found.append(Behind(name, sum(count for _, _, count in missing), last, fates))
    return len(rows), found


def _names(rows: Sequence[ReceiptRow]) -> list[str]:
    """A machine's name, with the folder where several of its folders sent a receipt."""
    times = Counter(row.broker for row in rows)
    return [row.broker if times[row.broker] == 1 else f"{row.broker}:{row.path}" for row in rows]
