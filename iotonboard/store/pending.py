"""Certificates whose files are to be written."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from iotonboard.store.certificates import KEY
from iotonboard.store.values import octets, optional_octets, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from iotonboard.model import SerialNumber
    from iotonboard.store.store import Store


@dataclass(frozen=True, slots=True)
class PendingFiles:
    """One certificate whose files are to be written: for a device or a broker. ``issuer`` is the row of its CA.

    ``behind`` are the CAs that are sent behind it, DER; whoever writes the files fills it in.
    """

    certificate: int
    name: str
    is_broker: bool
    issuer: int
    der: bytes
    key_der: bytes | None
    bundle: bytes | None
    behind: tuple[bytes, ...] = ()


def add_pending(store: Store, serial: SerialNumber, bundle: bytes | None) -> None:
    """Note that a certificate's files are to be written; what the bundle was is remembered."""
    store.execute(
        "INSERT OR REPLACE INTO pending (certificate, bundle) SELECT id, ? FROM certificate WHERE serial = ?",
        (bundle, serial.octets),
    )
    if bundle is not None:
        store.execute(
            "INSERT OR REPLACE INTO bundle (certificate, sha256) SELECT id, ? FROM certificate WHERE serial = ?",
            (sha256(bundle).digest(), serial.octets),
        )


def recorded_bundle(store: Store, serial: SerialNumber) -> bytes | None:
    """SHA-256 of the bundle that was made last of a certificate; ``None`` where none was."""
    query = "SELECT sha256 FROM bundle WHERE certificate = (SELECT id FROM certificate WHERE serial = ?)"
    return store.record(octets, query, (serial.octets,))


def has_pending(store: Store) -> bool:
    """Say whether any files are to be written."""
    return store.row("SELECT 1 FROM pending LIMIT 1") is not None


def has_pending_of(store: Store, device_id: str) -> bool:
    """Say whether files of a device are to be written."""
    query = """SELECT 1 FROM pending p JOIN certificate c ON c.id = p.certificate JOIN device d ON d.id = c.device
        WHERE d.device_id = ? LIMIT 1"""
    return store.row(query, (device_id,)) is not None


def pending_files(store: Store, limit: int, *, after: int = 0, is_broker: bool) -> list[PendingFiles]:
    """Files of devices, or of brokers, that are to be written; oldest certificate first, of those behind ``after``."""
    columns = f"p.certificate, coalesce(d.device_id, c.host), c.host IS NOT NULL, c.issuer, c.der, {KEY}, p.bundle"
    query = f"""SELECT {columns}
        FROM pending p JOIN certificate c ON c.id = p.certificate LEFT JOIN device d ON d.id = c.device
        WHERE p.certificate > ? AND (c.host IS NOT NULL) = ? ORDER BY p.certificate LIMIT ?"""
    return store.records(_pending_files, query, (after, is_broker, limit))


def pending_groups(store: Store, size: int, *, is_broker: bool) -> Iterator[list[PendingFiles]]:
    """All of them, in groups; what is noted anew meanwhile is left to the next call."""
    last, group = 0, pending_files(store, size, is_broker=is_broker)
    while group:
        last = group[-1].certificate
        yield group
        group = pending_files(store, size, after=last, is_broker=is_broker) if len(group) == size else []


def _pending_files(certificate: int, name: str, is_broker: int, issuer: int, der: bytes, *secrets: Any) -> PendingFiles:
    holder = text(name), bool(is_broker), issuer if isinstance(issuer, int) else 0
    key_der, bundle = map(optional_octets, secrets)
    return PendingFiles(certificate, *holder, octets(der), key_der, bundle)


def clear_pending(store: Store, certificates: Iterable[int]) -> None:
    """Note that files were written."""
    store.execute_many("DELETE FROM pending WHERE certificate = ?", ((row,) for row in certificates))
