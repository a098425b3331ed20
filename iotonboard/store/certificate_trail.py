"""What the audit trail tells of certificates.

Rows that cannot be are passed over: the check of the trail names them, and none stops the revocation of a device.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iotonboard.errors import StateError
from iotonboard.model import RevocationReason, SerialNumber, from_epoch, parse_moment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from iotonboard.store.store import Store


@dataclass(frozen=True, slots=True)
class Told:
    """What one row says of a certificate.

    ``reason``: it was revoked, here or by a list that was taken up; ``dated`` is the date that this was given, which
    earlier versions did not write. ``is_release``: its hold ended.
    """

    seq: int
    time: datetime
    serial: SerialNumber
    reason: RevocationReason | None
    dated: datetime | None
    is_release: bool


def told_since(store: Store, seq: int) -> Iterator[Told]:
    """What the rows after ``seq`` say, oldest first."""
    return _told(store, "seq > ? AND serial <> ''", seq)


def told_of(store: Store, serial: SerialNumber) -> Iterator[Told]:
    """All that is said of one certificate, oldest first. Reads the trail through."""
    return _told(store, "serial = ?", serial.hex)


def _told(store: Store, which: str, value: object) -> Iterator[Told]:
    for row in store.each_row(f"SELECT seq, time, serial, detail FROM audit WHERE {which} ORDER BY seq", (value,)):
        try:
            told = store.make_record(_record, row)
        except StateError:
            continue
        yield told


def _record(seq: int, time: int, serial: Any, detail: str) -> Told:
    said = dict(json.loads(detail))
    reason, dated = said.get("revoked") or said.get("foreign"), said.get("dated")
    return Told(
        seq,
        from_epoch(time),
        SerialNumber.from_hex(str(serial)),
        RevocationReason(reason) if reason else None,
        parse_moment(str(dated)) if dated else None,
        "released" in said,
    )
