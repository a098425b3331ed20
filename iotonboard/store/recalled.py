"""What the audit trail knows of devices and of the rows that give access by themselves, found by its indexes.

So a command that uses such a row holds it against the trail first, however long that is.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import PolicyError, StateError
from iotonboard.model import SerialNumber, parse_moment, to_epoch
from iotonboard.store import audit, topics
from iotonboard.store.devices import ROW_COLUMNS, device_row
from iotonboard.store.row_seals import TABLES, digest_of, read_digest
from iotonboard.store.values import text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from iotonboard.model import TopicRule
    from iotonboard.store.devices import DeviceRow
    from iotonboard.store.store import Store

_BY_NAME = {table.name: table for table in TABLES}
# But for what was taken up from a file only to be revoked, and CAs, which a device may be called as.
_ISSUED = """a.subject = :subject AND a.serial <> '' AND instr(a.detail, '"fingerprint":')
    AND NOT instr(a.detail, '"adopted":')
    AND NOT EXISTS (SELECT 1 FROM issuer i WHERE hex(i.serial) GLOB '*' || a.serial)"""


@dataclass(frozen=True, slots=True)
class Recalled:
    """A certificate that the trail says was issued; ``not_after`` where it says until when."""

    serial: SerialNumber
    not_after: datetime | None


def issued_to(store: Store, device_id: str) -> list[Recalled]:
    """Every certificate that the trail says was issued to a device or broker, oldest first."""
    query = f"""SELECT a.serial, iif(json_valid(a.detail), json_extract(a.detail, '$.not_after'), NULL) FROM audit a
        WHERE {_ISSUED} ORDER BY a.seq"""
    found = []
    for row in store.rows(query, {"subject": device_id}):
        with suppress(StateError):  # the check of the trail names a row that cannot be
            found.append(store.make_record(_recalled, row))
    return found


def _recalled(serial: str, end: str | None) -> Recalled:
    return Recalled(SerialNumber.from_hex(text(serial)), parse_moment(text(end)) if end else None)


def find_or_recall(store: Store, device_id: str) -> tuple[DeviceRow | None, bool]:
    """A device as ``find_device`` finds it, and whether the trail knows a certificate of one that is not there."""
    query = f"""SELECT {ROW_COLUMNS}, d.id IS NULL AND EXISTS (SELECT 1 FROM audit a WHERE {_ISSUED}
            AND NOT EXISTS (SELECT 1 FROM certificate c WHERE c.host = :subject))
        FROM (SELECT 1) LEFT JOIN device d ON d.device_id = :subject"""
    *row, is_recalled = store.row(query, {"subject": str(device_id)})
    return None if row[0] is None else store.make_record(device_row, row), bool(is_recalled)


def recorded_topics(store: Store) -> tuple[dict[str, list[TopicRule]], list[str]]:
    """As ``topics.extra_topics``, but as they were recorded; and the keys of rows that are not as the trail says."""
    # Sorted by an expression: the topics are walked and not the index of all devices.
    query = f"""SELECT 'row', {_BY_NAME["topic"].key_text("t")}, d.device_id || '' AS name, t.device, t.access, t.topic
        FROM main.topic t LEFT JOIN device d ON d.id = t.device
        UNION ALL SELECT 'said', key, value, NULL, NULL, NULL FROM ({_SAID.format(table="topic")})
        ORDER BY 1, name COLLATE NOCASE, 5, 6"""
    rows = store.rows(query)
    found = {str(key): digest_of(row) for kind, key, _, *row in rows if kind == "row"}
    said = _read(row[1:3] for row in rows if row[0] == "said")
    if edited := _unlike(store, "topic", found, said):
        return _recalled_topics(store), edited
    recorded: dict[str, list[TopicRule]] = {}
    for device_id, _, *rule in (row[2:] for row in rows if row[0] == "row" and row[2] is not None):
        recorded.setdefault(device_id, []).append(store.make_record(topics.topic_rule, rule))
    return recorded, []


def _recalled_topics(store: Store) -> dict[str, list[TopicRule]]:
    """Those that the trail has: a rule is the key of its row."""
    found: dict[str, list[TopicRule]] = {}
    for key, digest in _said_last(store, "topic").items():
        device, _, rule = key.partition(" ")
        device_id = store.record(str, "SELECT device_id FROM device WHERE id = ?", (device,))
        if device_id and digest:
            with suppress(StateError):  # of a row of the trail that no version wrote
                found.setdefault(device_id, []).append(store.make_record(topics.topic_rule, rule.split(" ", 1)))
    return found


def unlike_trail(store: Store, table: str) -> list[str]:
    """Keys of the rows of ``topic``, ``overlap`` or ``setting`` that are not as the trail says, in both directions.

    None in a state of an earlier version, whose rows are not sealed yet.
    """
    sealed = _BY_NAME[table]
    rows = store.each_row(f"SELECT {sealed.key_text('t')}, {', '.join(sealed.columns)} FROM main.{table} t")
    found = {str(key): digest_of(row) for key, *row in rows}
    return _unlike(store, table, found, _said_last(store, table))


def _unlike(store: Store, table: str, found: Mapping[str, str], said: Mapping[str, str | None]) -> list[str]:
    """The keys under which the trail said something else than was ``found``."""
    if not said and store.meta("rows_sealed_from") is None and not audit.has_row_seals(store):
        return []
    differing = (key for key in sorted(found.keys() | said.keys()) if found.get(key) != said.get(key))
    return [key for key in differing if key in found or _can_be(store, table, key)]


_PARENTS = {"topic": "device", "overlap": "certificate"}


def _can_be(store: Store, table: str, key: str) -> bool:
    """Say whether a table could have a row with a key: else the row of the trail that tells of it is of no version."""
    parts, parent = key.split(" ", len(_BY_NAME[table].keys) - 1), _PARENTS.get(table)
    is_whole = len(parts) == len(_BY_NAME[table].keys)
    return is_whole and (parent is None or store.row(f"SELECT 1 FROM {parent} WHERE id = ?", parts[:1]) is not None)


# The newest word on each row: of several, SQLite takes the columns beside max() from the row that has it.
_SAID = """SELECT j.key, j.value, max(a.seq)
    FROM audit a, json_each(iif(json_valid(a.detail), a.detail, '{{}}'), '$.rows.{table}') j
    WHERE a.subject = 'rows' AND instr(a.detail, '"{table}":') GROUP BY j.key"""


def _said_last(store: Store, table: str) -> dict[str, str | None]:
    """Key -> digest of a row as the trail says it last, ``None`` where it is gone."""
    return _read(row[:2] for row in store.each_row(_SAID.format(table=table)))


def _read(said: Iterable[tuple[object, object]]) -> dict[str, str | None]:
    """Without what no version wrote."""
    digests = ((str(key), _digest(value)) for key, value in said)
    return {key: digest or None for key, digest in digests if digest is not None}


def _digest(value: object) -> str | None:
    """The digest that stands alone, or behind the one before; empty where the row is gone, ``None``: none at all."""
    with suppress(ValueError, RecursionError):
        read = read_digest(json.loads(value) if isinstance(value, str) and value.startswith("[") else value)
        return read and (read[1] or "")
    return None


def put_back(store: Store) -> None:
    """Let topic rules, overlaps, lost and retired devices be as the trail says again, inside the caller's transaction.

    A rule is the key of its row, the end of an overlap is told by the renewal, the certificate of a lost device by its
    revocation, and the digest of a row proves each.
    """
    for key in unlike_trail(store, "topic"):
        parts = key.split(" ", 2)
        if len(parts) == len(_BY_NAME["topic"].keys):  # else of a row of the trail that no version wrote
            store.execute(_PUT_TOPIC if _said(store, "topic", key) else _FORGET_TOPIC, parts)
    for key in unlike_trail(store, "overlap"):
        _put_overlap_back(store, key, _said(store, "overlap", key))
    for key in unlike_trail(store, "lost_device"):
        _put_lost_back(store, key, _said(store, "lost_device", key))
    retired = """SELECT max(a.time) FROM audit a WHERE a.subject = device_id AND a.detail = '{"retired":true}'"""
    store.execute(f"UPDATE device SET retired_at = ({retired}) WHERE retired_at IS NULL AND ({retired}) IS NOT NULL")


_PUT_TOPIC = "INSERT OR IGNORE INTO topic VALUES (?, ?, ?)"
_FORGET_TOPIC = "DELETE FROM topic WHERE device = ? AND access = ? AND topic = ?"


def _said(store: Store, table: str, key: str) -> str | None:
    """The digest that the trail has of a row; ``None``: it says that there is none, or nothing."""
    row = store.row(f"SELECT value FROM ({_SAID.format(table=table)}) WHERE key = ?", (key,))
    return (_digest(row[0]) if row else None) or None


def _put_lost_back(store: Store, device_id: str, said: str | None) -> None:
    store.execute("DELETE FROM lost_device WHERE device_id = ?", (device_id,))
    query = "SELECT DISTINCT serial FROM audit WHERE subject = ? AND serial <> ''"
    for serial in store.records(str, query, (device_id,)):
        with suppress(PolicyError):
            octets = SerialNumber.from_hex(serial).octets
            if digest_of((device_id, octets)) == said:
                store.execute("INSERT INTO lost_device VALUES (?, ?)", (device_id, octets))


def _put_overlap_back(store: Store, key: str, said: str | None) -> None:
    if said is None:
        store.execute("DELETE FROM overlap WHERE certificate = ?", (key,))
        return
    told = """SELECT iif(json_valid(a.detail), json_extract(a.detail, '$.revoke_after'), NULL)
        FROM audit a JOIN device d ON d.device_id = a.subject JOIN certificate c ON c.device = d.id
        WHERE c.id = ? AND a.serial <> ''"""
    ends: list[int | None] = [None]
    for (text_of_end,) in store.rows(told, (key,)):
        with suppress(PolicyError):
            ends.append(to_epoch(parse_moment(str(text_of_end))))
    for end in (end for end in ends if key.isdecimal() and digest_of((int(key), end)) == said):
        store.execute("INSERT OR REPLACE INTO overlap VALUES (?, ?)", (key, end))
