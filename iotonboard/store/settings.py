"""The settings that the program runs on: as a CA signed them, and single values that need no signature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.model import to_epoch
from iotonboard.store.issuers import own_certificates
from iotonboard.store.values import octets, text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from iotonboard.store.store import Store


_NOTED = "SELECT key, value FROM setting"


@dataclass(frozen=True, slots=True)
class Seal:
    """Settings as a CA signed them: ``settings`` is JSON text; ``certificate_der`` is ``b""`` where there is no CA."""

    number: int
    settings: str
    signature: bytes
    certificate_der: bytes


def knows_settings(store: Store) -> bool:
    """Say whether the database is of a version that holds settings; one that is only looked at may be older."""
    return store.row("SELECT 1 FROM sqlite_master WHERE name = 'setting_seal'") is not None


def seals(store: Store) -> Iterator[Seal]:
    """Every seal, the newest first. Of a CA that was retired none counts: it has no certificate here."""
    certificates = own_certificates(store)
    return store.each(
        lambda number, settings, signature, issuer: Seal(
            number, text(settings), octets(signature), certificates.get(issuer, b"")
        ),
        "SELECT id, settings, signature, issuer FROM setting_seal ORDER BY id DESC LIMIT 64",
    )


def add_seal(store: Store, number: int, settings: str, issuer: int, signature: bytes, now: datetime) -> None:
    """Keep a new seal, in the caller's transaction."""
    store.execute(
        "INSERT INTO setting_seal (id, settings, issuer, signature, created_at) VALUES (?, ?, ?, ?, ?)",
        (number, settings, issuer, signature, to_epoch(now)),
    )


def has_sealed_before(store: Store) -> bool:
    """Say whether the trail tells of a seal: then one that is not there was taken away. Reads the trail through."""
    query = """SELECT 1 FROM audit WHERE subject = 'settings' AND serial = ''
        AND iif(json_valid(detail), json_extract(detail, '$.sealed'), NULL) IS NOT NULL LIMIT 1"""
    return store.row(query) is not None


def noted(store: Store) -> dict[str, str]:
    """Single values, as JSON text."""
    return dict(store.small(_NOTED))


def note(store: Store, key: str, value: str) -> None:
    """Note a single value, in the caller's transaction."""
    store.execute(
        "INSERT INTO setting (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )
    store.forget_small(_NOTED)


def forget(store: Store, key: str) -> None:
    """Drop a single value, in the caller's transaction."""
    store.execute("DELETE FROM setting WHERE key = ?", (key,))
    store.forget_small(_NOTED)
