"""Rows of certificates that do not lead to whom the certificate itself names, found without reading it as a whole.

A broker knows a device by the commonName of its certificate alone. What SQLite does not find at once, in the octets
where this program writes it, is a suspect that ``state/denied.py`` reads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.model import to_epoch
from iotonboard.store.acl_members import FORGOTTEN
from iotonboard.store.values import text

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from iotonboard.store.store import Store

# OBJECT IDENTIFIER id-at-commonName, then UTF8String and its length (RFC 5280 4.1.2.4 and appendix A.1).
_TYPE = "char(6, 3, 85, 4, 3, 12, length(d.device_id))"
_MOST = 10_000  # suspects that are looked at: whoever changed more changed everything


@dataclass(frozen=True, slots=True)
class Suspect:
    """A certificate's row, and the ``holder`` that it leads to: a device's id or a host; empty where it leads to none.

    ``entry_der`` is that of its revocation, and ``serial`` (octets) what its row says; both empty where there is none.
    """

    certificate: int
    holder: str
    is_device: bool
    der: bytes
    serial: bytes
    entry_der: bytes


# The device's id is a commonName in the certificate, and not the CA's that stands there too.
_NAMED = f"""d.device_id NOT IN (SELECT value FROM json_each(:ca_names))
    AND instr(c.der, CAST({_TYPE} || d.device_id AS BLOB))"""
# The serial number stands within the first octets, behind the version.
_HEAD = "substr(c.der, 1, 40)"
_NUMBERED = f"instr(hex({_HEAD}), ltrim(hex(c.serial), '0'))"
_CLIENT_AUTH = "x'06082b06010505070302'"  # extendedKeyUsage of a device (RFC 5280 4.2.1.12)
# The entry of a list begins with the serial number; a short one is read.
_LISTED_AS = f"instr({_HEAD}, substr(r.entry_der, 3, 18))"
_COLUMNS = """c.id, coalesce(d.device_id, c.host, ''), c.device IS NOT NULL, coalesce(c.der, x''),
    coalesce(c.serial, x'')"""
_REVOKED = f"""SELECT r.certificate, {_COLUMNS.partition(",")[2]}, r.entry_der
    FROM revocation r LEFT JOIN certificate c ON c.id = +r.certificate LEFT JOIN device d ON d.id = c.device
    WHERE r.not_after >= :since AND NOT coalesce(
        CASE WHEN c.host IS NULL THEN {_NAMED} ELSE NOT instr(c.der, {_CLIENT_AUTH}) END AND {_LISTED_AS}, 0)"""
# What keeps a device from being denied of which another certificate was revoked.
_VALID = f"""SELECT {_COLUMNS}, x'' FROM certificate c JOIN device d ON d.id = c.device
    WHERE c.device IN (SELECT o.device FROM revocation r JOIN certificate o ON o.id = +r.certificate
        WHERE o.device IS NOT NULL AND r.not_after >= :since)
    AND c.not_after >= :now AND c.id NOT IN (SELECT certificate FROM revocation)
    AND NOT coalesce({_NAMED} AND {_NUMBERED}, 0)"""
_WITH_TOPICS = f"""SELECT {_COLUMNS}, x'' FROM certificate c JOIN device d ON d.id = c.device
    WHERE c.device IN (SELECT device FROM topic) AND NOT coalesce({_NAMED}, 0)"""
# Names under which the trail knows no certificate, in a state in which it costs nothing to look at all; and devices
# that the trail says are denied by name alone, and no row says any more.
_UNKNOWN = f"""SELECT {_COLUMNS}, x'' FROM device d JOIN certificate c ON c.device = d.id
    WHERE d.retired_at IS NULL AND (SELECT max(id) FROM device) <= {_MOST} AND d.device_id NOT GLOB 'set-aside-*'
    AND NOT EXISTS (SELECT 1 FROM audit a WHERE a.subject = d.device_id AND a.serial <> '')
    UNION ALL SELECT 0, name, 1, x'', x'', x'' FROM ({FORGOTTEN})"""
_OF_DEVICE = f"""SELECT {_COLUMNS}, x'' FROM unrevoked_certificate c JOIN device d ON d.id = c.device
    WHERE d.device_id = :name AND c.not_after >= :now"""


def certificate_suspects(
    store: Store, ca_names: Collection[str], now: datetime, listed_since: datetime, *, with_unknown: bool = False
) -> tuple[list[Suspect], list[Suspect], list[Suspect]]:
    """Revoked certificates whose row may lead to somebody else, or that have no row any more; valid ones; unknown ones.

    The valid ones are of devices of which another one was revoked, and may be somebody else's. The unknown ones are of
    devices under whose names the trail tells of none, of all devices where they are few enough; those without octets
    are of devices that lost the row by which they are denied. ``ca_names``: commonNames of CAs, which stand in each
    certificate.
    """
    parts = (_REVOKED, _VALID, *([_UNKNOWN] if with_unknown else []))
    query = " UNION ALL ".join(f"SELECT {kind}, * FROM ({part} LIMIT {_MOST})" for kind, part in enumerate(parts))
    times = {"since": to_epoch(listed_since), "now": to_epoch(now)}
    kinds: tuple[list[Suspect], list[Suspect], list[Suspect]] = [], [], []
    for kind, *row in store.each_row(query, {"ca_names": json.dumps(list(ca_names)), **times}):
        kinds[kind].append(store.make_record(_suspect, row))
    return kinds


def topic_suspects(store: Store, ca_names: Collection[str]) -> list[Suspect]:
    """Certificates of devices with topic rules of their own that may be somebody else's."""
    return store.records(_suspect, f"{_WITH_TOPICS} LIMIT {_MOST}", {"ca_names": json.dumps(list(ca_names))})


def valid_of_device(store: Store, device_id: str, now: datetime) -> list[Suspect]:
    """All valid certificates whose rows lead to a device."""
    return store.records(_suspect, _OF_DEVICE, {"name": device_id, "now": to_epoch(now)})


def _suspect(certificate: int, holder: str, is_device: int, *values: object) -> Suspect:
    der, serial, entry = (value if isinstance(value, bytes) else b"" for value in values)
    return Suspect(certificate, text(holder), bool(is_device), der, serial, entry)


def issued_as(store: Store, serials: Collection[str]) -> dict[str, str]:
    """To whom the trail says that certificates (serials, hex) were issued. Reads the trail through."""
    query = """SELECT serial, subject FROM audit WHERE serial IN (SELECT value FROM json_each(?))
        AND instr(detail, '"fingerprint":') ORDER BY seq DESC"""
    return {str(serial): str(subject) for serial, subject in store.rows(query, (json.dumps(list(serials)),))}
