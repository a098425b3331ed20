"""What takes the place of a value that cannot be, when a row of version 1 is brought into the tables of version 2.

A device keeps its certificates and a certificate its revocation. A certificate whose expiry is not known counts as
valid for ever, and so can be revoked at any time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from iotonboard.model import EARLIEST, LATEST, SerialNumber

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

Row: TypeAlias = dict[str, Any]
Substitute: TypeAlias = "Callable[[sqlite3.Connection, Row, int], Row]"  # takes the row and the time


def _fixed(**values: object) -> Substitute:
    return lambda _connection, _row, _now: values


def _time_of_migration(column: str) -> Substitute:
    return lambda _connection, _row, now: {column: now}


def _stand_in(number: object) -> str:
    """The name of a device or host whose own name cannot be, and that the trail does not know."""
    return f"set-aside-{number}"


def _recorded_for(connection: sqlite3.Connection, serial: object) -> str | None:
    """For whom the trail recorded a certificate."""
    if not isinstance(serial, bytes) or not is_serial(serial):
        return None
    query = "SELECT subject FROM old_audit WHERE serial = ? ORDER BY seq LIMIT 1"
    found = connection.execute(query, (SerialNumber.from_octets(serial).hex,)).fetchone()
    return found[0] if found else None


def _name_of_device(connection: sqlite3.Connection, row: Row, _now: int) -> Row:
    certificate = connection.execute("SELECT serial FROM old_certificate WHERE device IS ?", (row["id"],)).fetchone()
    name = _recorded_for(connection, certificate[0]) if certificate else None
    is_taken = connection.execute("SELECT 1 FROM device WHERE device_id IS ?", (name,)).fetchone()
    return {"device_id": _stand_in(row["id"]) if is_taken or name is None else name}


def _device_of_certificate(connection: sqlite3.Connection, row: Row, now: int) -> Row:
    """The device for which a certificate was recorded; made when it is not there, so that it can be revoked by name."""
    for name in (_recorded_for(connection, row["serial"]), _stand_in(row["id"])):
        connection.execute(
            "INSERT OR IGNORE INTO device (device_id, name, attributes, created_at) VALUES (?, '', '{}', ?)",
            (name, now),
        )
        found = connection.execute("SELECT id FROM device WHERE device_id = ?", (name,)).fetchone()
        if found:
            return {"device": found[0]}
    return {"device": None}


def _host_of_certificate(connection: sqlite3.Connection, row: Row, _now: int) -> Row:
    return {"host": _recorded_for(connection, row["serial"]) or _stand_in(row["id"])}


def _new_number(connection: sqlite3.Connection, row: Row, _now: int) -> Row:
    """Another row number; none for a revoked certificate, whose revocation does not name it: it must not come back."""
    query = "SELECT 1 FROM old_revocation WHERE certificate = ?"
    return {} if connection.execute(query, (row["id"],)).fetchone() else {"id": None}


def _only_issuer(connection: sqlite3.Connection, _row: Row, _now: int) -> Row:
    issuers = connection.execute("SELECT id FROM issuer LIMIT 2").fetchall()
    return {"issuer": issuers[0][0] if len(issuers) == 1 else None}


def _of_certificate(column: str, value: Callable[[Any, int], object]) -> Substitute:
    def substitute(connection: sqlite3.Connection, row: Row, now: int) -> Row:
        query = "SELECT serial, not_after FROM certificate WHERE id = ?"
        return {column: value(connection.execute(query, (row["certificate"],)).fetchone(), now)}

    return substitute


def _single_value(connection: sqlite3.Connection, row: Row, now: int) -> Row:
    """For the last event the time of the trail, so that no clock runs behind; for others what is done again then."""
    if row["key"] == "last_event":
        return {"value": connection.execute("SELECT max(time) FROM audit").fetchone()[0] or now}
    return {"value": 1 if row["key"] in ("initialised", "unlisted_revocations", "log_holds_secrets") else 0}


# Table -> the column or check that refuses a row -> what stands in its place.
SUBSTITUTES: dict[str, dict[str, Substitute]] = {
    "meta": {"value": _single_value},
    "issuer": {
        "id": _fixed(id=None),  # a new one
        "serial": lambda _connection, row, _now: {"serial": serial_in(row["der"]) or bytes(19) + b"\1"},
        "not_before": _fixed(not_before=EARLIEST),
        "not_after": _fixed(not_after=LATEST),
        "validity": _fixed(not_before=EARLIEST, not_after=LATEST),
        "der": _fixed(der=b"\0"),
        "key_file": _fixed(key_file="ca.key"),
        "created_at": _time_of_migration("created_at"),
        "retired_at": _time_of_migration("retired_at"),
    },
    "device": {
        "device_id": _name_of_device,
        "name": _fixed(name=""),
        "attributes": _fixed(attributes="{}"),
        "created_at": _time_of_migration("created_at"),
        "retired_at": _time_of_migration("retired_at"),
    },
    "certificate": {
        "id": _new_number,
        "serial": lambda _connection, row, _now: {"serial": serial_in(row["der"])},
        "issuer": _only_issuer,
        "device": _device_of_certificate,
        "host": _host_of_certificate,
        "holder": lambda _connection, row, _now: {"host": _stand_in(row["id"]) if row["device"] is None else None},
        "not_before": _fixed(not_before=EARLIEST),
        "not_after": _fixed(not_after=LATEST),
        "validity": _fixed(not_before=EARLIEST, not_after=LATEST),
        "der": _fixed(der=b"\0"),
        "spki_sha256": _fixed(spki_sha256=bytes(32)),
        "key_der": _fixed(key_der=None),
        "salt": _fixed(salt=None),
        "created_at": _time_of_migration("created_at"),
    },
    "revocation": {
        "revocation_date": _time_of_migration("revocation_date"),
        "reason": _fixed(reason="unspecified"),
        "not_after": _of_certificate("not_after", lambda found, _now: found[1]),
        "entry_der": _of_certificate("entry_der", lambda found, now: encode_entry(found[0], now)),
    },
    "crl": {"revoked": _fixed(revoked=0), "created_at": _time_of_migration("created_at")},
    "pending": {"bundle": _fixed(bundle=None)},
    "receipt": {"confirmed_at": _time_of_migration("confirmed_at"), "proved": _fixed(proved=0)},
    "purge": {"purged_at": _time_of_migration("purged_at")},
}


# -- octets ---------------------------------------------------------------------------------------------------------

_VERSION_3 = b"\xa0\x03\x02\x01\x02"  # what stands before the serial of a certificate (RFC 5280 4.1)
_INTEGER, _UTC_TIME, _GENERALIZED_TIME, _SEQUENCE = 0x02, 0x17, 0x18, 0x30


def is_serial(value: object) -> bool:
    """Say whether a value can be a serial as the store keeps it."""
    return isinstance(value, bytes) and len(value) == 20 and bytes(20) < value < b"\x80"


def serial_in(der: object) -> bytes | None:
    """The serial that stands in a certificate, or in an entry of a CRL, as 20 octets; ``None`` where there is none."""
    if not isinstance(der, bytes):
        return None
    version = der.find(_VERSION_3, 0, 16)
    begin = version + len(_VERSION_3) if version >= 0 else 2
    tag, length = der[begin : begin + 1], der[begin + 1 : begin + 2]
    if tag != bytes((_INTEGER,)) or not length:
        return None
    found = der[begin + 2 : begin + 2 + length[0]].rjust(20, b"\0")
    return found if is_serial(found) else None


def encode_entry(serial: bytes, date: int) -> bytes:
    """An entry of a CRL without a reason (RFC 5280 5.1.2.6), as ``pki.crl_entry`` encodes it from a record."""
    number = serial.lstrip(b"\0")
    if number[0] & 0x80:
        number = b"\0" + number
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=date)
    is_short = moment.year < 2050
    time = moment.strftime("%y%m%d%H%M%SZ" if is_short else "%Y%m%d%H%M%SZ").encode("ascii")
    body = _element(_INTEGER, number) + _element(_UTC_TIME if is_short else _GENERALIZED_TIME, time)
    return _element(_SEQUENCE, body)


def _element(tag: int, content: bytes) -> bytes:
    return bytes((tag, len(content))) + content
