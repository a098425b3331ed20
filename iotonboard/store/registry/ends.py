"""When certificates of brokers and CAs and the lists of all trusted stations end, as the registry notes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.model import SerialNumber, from_epoch, to_epoch

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.store.registry.registry import Registry


@dataclass(frozen=True, slots=True)
class BrokerEnd:
    """The newest certificate of a broker's name at a station, which is not revoked."""

    station: str
    host: str
    serial: SerialNumber
    not_after: datetime


@dataclass(frozen=True, slots=True)
class IssuerEnd:
    """A CA of a station that issues, or of which a device has a valid certificate. ``chain``: DERs, or empty."""

    station: str
    der: bytes
    chain: bytes


@dataclass(frozen=True, slots=True)
class ListEnd:
    """The last list that is there of a CA: the station's own, or one above it. ``ca`` names it; empty: it issues."""

    station: str
    number: str
    ca: str
    not_after: datetime
    is_above: bool = False


def broker_ends(registry: Registry) -> list[BrokerEnd]:
    """Every broker's newest certificate, unless it is revoked."""
    query = """SELECT s.name, c.host, c.serial, c.not_after FROM certificate c JOIN station s ON s.id = c.station
        WHERE c.host IS NOT NULL AND s.removed_at IS NULL
        AND c.id = (SELECT max(n.id) FROM certificate n WHERE n.station = c.station AND n.host = c.host)
        AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.station = c.station AND r.certificate = c.id)
        ORDER BY s.name, c.host"""
    return [
        BrokerEnd(station, host, SerialNumber.from_octets(bytes(serial)), from_epoch(end))
        for station, host, serial, end in registry.rows(query)
    ]


def issuer_ends(registry: Registry, now: datetime) -> list[IssuerEnd]:
    """The CAs that count; one that was left behind counts as long as a device has a valid certificate of it."""
    query = """SELECT s.name, i.der, i.chain FROM issuer i JOIN station s ON s.id = i.station
        WHERE s.removed_at IS NULL AND i.retired_at IS NULL AND (i.id = (SELECT max(n.id) FROM issuer n
            WHERE n.station = i.station AND n.retired_at IS NULL) OR EXISTS (SELECT 1 FROM certificate c
            WHERE c.station = i.station AND c.issuer = i.id AND c.device IS NOT NULL AND c.not_after >= ?
            AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.station = c.station AND r.certificate = c.id)))
        ORDER BY s.name, i.id DESC"""
    return [
        IssuerEnd(station, bytes(der), b"" if chain is None else bytes(chain))
        for station, der, chain in registry.rows(query, (to_epoch(now),))
    ]


def list_ends(registry: Registry) -> list[ListEnd]:
    """The end of the lists of each CA that was not retired, calendars included, and of those above."""
    own = """SELECT s.name, l.number, CASE WHEN l.issuer = (SELECT max(n.id) FROM issuer n WHERE n.station = l.station
            AND n.retired_at IS NULL) THEN '' ELSE i.key END, l.next_update
        FROM crl l JOIN station s ON s.id = l.station JOIN issuer i ON i.station = l.station AND i.id = l.issuer
        WHERE s.removed_at IS NULL AND i.retired_at IS NULL AND l.id = (SELECT n.id FROM crl n
            WHERE n.station = l.station AND n.issuer = l.issuer ORDER BY n.next_update DESC, n.id DESC LIMIT 1)
        ORDER BY s.name, l.issuer DESC"""
    above = """SELECT s.name, l.number, l.root, l.next_update FROM root_crl l JOIN station s ON s.id = l.station
        WHERE s.removed_at IS NULL ORDER BY s.name, l.number"""
    found = [ListEnd(station, str(number), ca, from_epoch(end)) for station, number, ca, end in registry.rows(own)]
    return found + [
        ListEnd(station, str(number), bytes(root).hex(), from_epoch(end), is_above=True)
        for station, number, root, end in registry.rows(above)
    ]
