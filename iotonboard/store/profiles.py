"""By which profile a certificate was issued, where that is not the one of MQTT clients."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from iotonboard.model import MQTT_PROFILE, to_epoch
from iotonboard.store.values import text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from iotonboard.model import SerialNumber
    from iotonboard.store.store import Store


def note_profile(store: Store, serial: SerialNumber, content: str) -> None:
    """Note the profile of a certificate, as JSON, in the caller's transaction; each content is kept once."""
    store.execute("INSERT INTO profile (content) VALUES (?) ON CONFLICT (content) DO NOTHING", (content,))
    store.execute(
        "INSERT INTO certificate_profile (certificate, profile) SELECT c.id, p.id FROM certificate c, profile p"
        " WHERE c.serial = ? AND p.content = ?",
        (serial.octets, content),
    )


def profile_of(store: Store, serial: SerialNumber) -> str | None:
    """The profile by which a certificate was issued, as JSON; ``None`` for one of an MQTT client."""
    query = """SELECT p.content FROM certificate c JOIN certificate_profile cp ON cp.certificate = c.id
        JOIN profile p ON p.id = cp.profile WHERE c.serial = ?"""
    return store.record(text, query, (serial.octets,))


def profile_name_of(store: Store, serial: SerialNumber) -> str:
    """The name of a certificate's profile; ``mqtt`` where none is kept, empty where it cannot be read."""
    try:
        content = profile_of(store, serial)
        return MQTT_PROFILE if content is None else text(json.loads(content).get("name", ""))
    except (ValueError, AttributeError):
        return ""


def profiled_with(store: Store, parts: Sequence[bytes], now: datetime) -> Iterator[tuple[str, bytes]]:
    """Device id and octets of certificates of a profile that hold one of some octet strings, and have not ended.

    One on hold can come back, and counts. Letters are compared without regard to case; the table is read through.
    """
    query = """SELECT d.device_id, c.der FROM certificate_profile cp JOIN certificate c ON c.id = cp.certificate
        JOIN device d ON d.id = c.device LEFT JOIN revocation r ON r.certificate = c.id
        WHERE c.not_after >= ? AND coalesce(r.reason, 'certificateHold') = 'certificateHold'"""
    for device_id, der in store.each_row(query, (to_epoch(now),)):
        if isinstance(der, bytes) and any(part in der or part in der.lower() for part in parts):
            yield text(device_id), der
