"""Where files were published: each place that was ever used, and what was put there last."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iotonboard.store.store import Store

BEGUN = -1  # a place that was named for its first use, and holds nothing of ours yet
# A number that cannot be counts as none: what is published next is noted in its place.
_PLACES = "SELECT kind, path, iif(typeof(last) = 'integer', last, 0) FROM place"


def last_published(store: Store, kind: str, path: str) -> int | None:
    """What was published at a place last, by its number there; ``BEGUN``, or ``None`` when nobody knows the place."""
    return next((last for a_kind, a_path, last in store.small(_PLACES) if (a_kind, a_path) == (kind, path)), None)


def has_places(store: Store, kind: str) -> bool:
    """Say whether any place of a kind is known; a state of schema 2 knows none until it publishes."""
    return any(a_kind == kind for a_kind, _, _ in store.small(_PLACES))


def note_place(store: Store, kind: str, path: str, last: int) -> None:
    """Note what was published at a place, inside the caller's transaction."""
    others = [row for row in store.small(_PLACES) if tuple(row[:2]) != (kind, path)]
    store.execute(
        "INSERT INTO place (kind, path, last) VALUES (?, ?, ?)"
        " ON CONFLICT (kind, path) DO UPDATE SET last = excluded.last",
        (kind, path, last),
    )
    store.know_small(_PLACES, [*others, (str(kind), path, last)])
