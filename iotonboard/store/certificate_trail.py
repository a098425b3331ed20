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
    from collections.abc import Iterator, Mapping, Sequence
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
    return _told(store, "seq > ? AND serial <> ''", (seq,))


# A row that tells of a revocation or of its end: a key stands there as it is, or with a backslash.
_SAYS = " OR ".join(f"instr(detail, '{key}')" for key in ('"revoked"', '"foreign"', '"released"', "\\"))
_BEHIND = f"seq > :seq AND serial <> '' AND ({_SAYS})"
# The revocationDate of an entry (UTCTime, RFC 5280 4.1.2.5.1) of what stands between the quotes of ``dated``.
_DATE = " || ".join(f"substr(told.dated, {place}, 2)" for place in (3, 6, 9, 12, 15, 18))
# Certificates that one row alone tells of, in the form that the program writes, and whose entry says just that. Nearly
# all of many revocations are such, and to read a million one by one takes a minute.
_STANDING = f"""SELECT told.serial FROM revocation r
    JOIN certificate c ON c.id = r.certificate AND c.issuer = r.issuer AND c.not_after = r.not_after
    JOIN (SELECT serial, detail, substr(detail, 11, 20) AS dated, substr(detail, 44) AS rest
        FROM audit WHERE {_BEHIND} GROUP BY serial HAVING count(*) = 1) told ON told.serial = hex(c.serial)
    WHERE told.detail GLOB
        '{{{{"dated":"20[0-4][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z","revoked":"[a-zA-Z]*'
    AND hex(r.entry_der) = CASE told.rest {{heads}} END || told.serial || '170D' || hex({_DATE} || 'Z')
        || CASE told.rest {{tails}} END"""


def told_unlike_entries(store: Store, seq: int, forms: Mapping[str, tuple[str, str]]) -> Iterator[Told]:
    """As ``told_since``, without what tells of no revocation, and without certificates revoked just as is said of them.

    ``forms``: for each reason what an encoded entry has before the serial number of 20 octets, and behind the date, in
    hex.
    """
    heads, tails = (
        " ".join(f"""WHEN '{reason}"}}' THEN '{form[part]}'""" for reason, form in forms.items()) for part in (0, 1)
    )
    which = f"{_BEHIND} AND serial NOT IN ({_STANDING.format(heads=heads, tails=tails)})"
    return _told(store, which, {"seq": seq})


def told_of(store: Store, serial: SerialNumber) -> Iterator[Told]:
    """All that is said of one certificate, oldest first. Reads the trail through."""
    return _told(store, "serial = ?", (serial.hex,))


def _told(store: Store, which: str, values: Sequence[object] | Mapping[str, object]) -> Iterator[Told]:
    for row in store.each_row(f"SELECT seq, time, serial, detail FROM audit WHERE {which} ORDER BY seq", values):
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
