"""The keys that bundle passwords were derived from under earlier CAs, each wrapped for the CA that issues."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iotonboard.store.store import Store


def earlier_vaults(store: Store) -> list[tuple[int, object]]:
    """The wrapped vault keys of CAs before the one that issues, each with the last row that it is for, oldest first.

    As they stand: one that is damaged stops nothing but what needs it.
    """
    rows = "earlier_vault WHERE typeof(last_issuer) = 'integer'"
    return store.rows(f"SELECT last_issuer, wrapped FROM {rows} ORDER BY last_issuer")


def set_earlier_vaults(store: Store, vaults: Iterable[tuple[int, bytes]]) -> None:
    """Write them anew, in the caller's transaction."""
    store.execute("DELETE FROM earlier_vault")
    store.execute_many("INSERT INTO earlier_vault (last_issuer, wrapped) VALUES (?, ?)", vaults)
