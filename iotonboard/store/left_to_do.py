"""What is left to the next command, whatever it is: looks into small indexes that each call can afford."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.model import to_epoch

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.store.store import Store

REPLACED_FILES = "replaced_files"  # noted until the files that follow from a stolen CA key are written
# When the first of the deliveries below the outbox ends, and whether there are any.
_OPEN = "FROM delivery WHERE token IS NOT NULL AND erased_at IS NULL"
OPEN_DELIVERIES = f"SELECT (SELECT min(expires_at) {_OPEN}), EXISTS (SELECT 1 {_OPEN})"
CRL_DUE = "crl_due"  # revocations wait for a CRL
TRUST_CHANGES = "trust_changes"  # how often the CAs of others, or their lists, changed
TRUST_PUBLISHED = "trust_published"  # which of these changes is in the CRL file
_ERASURES = ("log_holds_secrets", "retired_keys")


def has_expired_delivery(store: Store, now: datetime) -> bool:
    """Say whether a delivery below the outbox is past its time, and still there."""
    ((first, _),) = store.small(OPEN_DELIVERIES)
    return isinstance(first, int) and first <= to_epoch(now)


def has_open_delivery(store: Store) -> bool:
    """Say whether a delivery below the outbox is still there."""
    ((_, is_any),) = store.small(OPEN_DELIVERIES)
    return bool(is_any)


def has_erasures_left(store: Store) -> bool:
    """Say whether something was recorded as erased whose octets are still to go."""
    return any(store.meta(key) for key in _ERASURES)


def has_replaced_files_left(store: Store) -> bool:
    """Say whether the files that follow from a stolen CA key are still to be written."""
    return bool(store.meta(REPLACED_FILES))


def is_crl_due(store: Store) -> bool:
    """Say whether revocations wait for a CRL that was wanted at once, and could not be signed then."""
    return bool(store.meta(CRL_DUE))
