"""The machines of an office, each with a key of its own; whom to trust stands in its trail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.model import from_epoch, to_epoch

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.store.registry.registry import Registry

_COLUMNS = "key, name, certificate, added_at, trusted_at, removed_at"


@dataclass(frozen=True, slots=True)
class MachineNote:
    """What the registry notes of a machine, by its key (``pki.key_id``): an untrusted one only asks."""

    key: str
    name: str
    certificate: bytes
    added_at: datetime
    trusted_at: datetime | None
    removed_at: datetime | None


def add_machine(
    registry: Registry, key: str, name: str, certificate: bytes, now: datetime, *, is_trusted: bool
) -> None:
    """Note a machine, inside the caller's transaction."""
    moment = to_epoch(now)
    registry.execute(
        "INSERT INTO machine (key, name, certificate, added_at, trusted_at) VALUES (?, ?, ?, ?, ?)",
        (key, name, certificate, moment, moment if is_trusted else None),
    )


def machines(registry: Registry) -> list[MachineNote]:
    """All machines, in the order in which they came."""
    return [_note(*row) for row in registry.rows(f"SELECT {_COLUMNS} FROM machine ORDER BY added_at, key")]


def _note(
    key: str, name: str, certificate: object, added_at: int, trusted_at: int | None, removed_at: int | None
) -> MachineNote:
    trusted, removed = (None if one is None else from_epoch(one) for one in (trusted_at, removed_at))
    return MachineNote(key, name, bytes(certificate), from_epoch(added_at), trusted, removed)  # type: ignore[call-overload]


def note_trusted(registry: Registry, key: str, certificate: bytes, now: datetime) -> None:
    """Note the certificate that a machine got, inside the caller's transaction."""
    query = "UPDATE machine SET certificate = ?, trusted_at = ? WHERE key = ?"
    registry.execute(query, (certificate, to_epoch(now), key))


def note_removed(registry: Registry, key: str, now: datetime) -> None:
    """Note that a machine counts no more, inside the caller's transaction; another one may get its name."""
    registry.execute("UPDATE machine SET removed_at = ? WHERE key = ?", (to_epoch(now), key))
