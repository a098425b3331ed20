"""What is left to the next command, whatever it is: looks into small indexes that each call can afford."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.model import to_epoch

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.store.store import Store

REPLACED_FILES = "replaced_files"  # noted until the files that follow from a stolen CA key are written
_ERASURES = ("log_holds_secrets", "retired_keys")


def has_expired_delivery(store: Store, now: datetime) -> bool:
    """Say whether a delivery below the outbox is past its time, and still there."""
    query = "SELECT 1 FROM delivery WHERE token IS NOT NULL AND erased_at IS NULL AND expires_at <= ? LIMIT 1"
    return store.row(query, (to_epoch(now),)) is not None


def has_erasures_left(store: Store) -> bool:
    """Say whether something was recorded as erased whose octets are still to go."""
    return any(store.meta(key) for key in _ERASURES)


def has_replaced_files_left(store: Store) -> bool:
    """Say whether the files that follow from a stolen CA key are still to be written."""
    return bool(store.meta(REPLACED_FILES))
