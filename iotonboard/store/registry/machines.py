"""The machines of an office, each with a key of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.model import to_epoch

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.store.registry.registry import Registry


def add_machine(
    registry: Registry, key: str, name: str, certificate: bytes, now: datetime, *, is_trusted: bool
) -> None:
    """Note a machine by its key (``pki.key_id``), inside the caller's transaction.

    Raises:
        ConflictError: another one is called so.
    """
    moment = to_epoch(now)
    registry.execute(
        "INSERT INTO machine (key, name, certificate, added_at, trusted_at) VALUES (?, ?, ?, ?, ?)",
        (key, name, certificate, moment, moment if is_trusted else None),
    )
