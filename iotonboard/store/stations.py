"""What a root certified: a row for each certificate of a CA below it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from iotonboard.model import RevocationReason, SerialNumber, Validity, from_epoch, to_epoch
from iotonboard.store.values import number, octets, text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iotonboard.store.store import Store

_COLUMNS = """name, spki_sha256, serial, issuer, not_before, not_after, der, request, signed_at, revoked_at, reason"""


@dataclass(frozen=True, slots=True)
class StationCertificate:
    """One certificate of a station: its CA's name, SHA-256 of its key, and what it was asked for with (SHA-256).

    ``issuer`` is the row of the root that signed it. ``reason`` is ``None`` where it is not revoked.
    """

    name: str
    spki_sha256: bytes
    serial: SerialNumber
    issuer: int
    validity: Validity
    der: bytes = field(repr=False)
    request: bytes
    signed_at: datetime
    revoked_at: datetime | None = None
    reason: RevocationReason | None = None


def stations(store: Store) -> list[StationCertificate]:
    """Everything that was certified, the oldest first.

    Raises:
        StateError: a row says what cannot be.
    """
    return store.records(lambda *row: _certificate(row), f"SELECT {_COLUMNS} FROM station ORDER BY id")


def _certificate(row: Sequence[Any]) -> StationCertificate:
    name, spki, serial, issuer, begin, end, der, request, signed_at, revoked_at, reason = row
    return StationCertificate(
        text(name),
        octets(spki),
        SerialNumber.from_octets(octets(serial)),
        number(issuer),
        Validity(from_epoch(begin), from_epoch(end)),
        octets(der),
        octets(request),
        from_epoch(signed_at),
        None if revoked_at is None else from_epoch(revoked_at),
        None if reason is None else RevocationReason(reason),
    )


def newest_of_each(store: Store) -> list[StationCertificate]:
    """The certificate in force of each station: of those that are not revoked the one that was signed last."""
    found = {one.spki_sha256: one for one in stations(store) if one.reason is None}
    return sorted(found.values(), key=lambda one: (one.validity.not_after, one.name))


def add_station(store: Store, one: StationCertificate) -> None:
    """Record a certificate, in the caller's transaction."""
    times = (to_epoch(moment) for moment in (one.validity.not_before, one.validity.not_after))
    store.execute(
        f"INSERT INTO station ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
        (
            one.name, one.spki_sha256, one.serial.octets, one.issuer, *times, one.der, one.request,
            to_epoch(one.signed_at),
        ),
    )  # fmt: skip


def revoke_station(store: Store, serial: SerialNumber, reason: RevocationReason, now: datetime) -> None:
    """Note that a certificate is revoked, in the caller's transaction."""
    store.execute(
        "UPDATE station SET revoked_at = ?, reason = ? WHERE serial = ?", (to_epoch(now), reason.value, serial.octets)
    )


def valid_stations(store: Store, issuer: int, now: datetime) -> list[str]:
    """Names of the stations whose newest certificate is of a root, named by its row, and valid."""
    query = """SELECT name FROM station WHERE issuer = ? AND not_after >= ? AND revoked_at IS NULL
        AND id IN (SELECT max(id) FROM station GROUP BY spki_sha256) ORDER BY name"""
    return store.records(text, query, (issuer, to_epoch(now)))
