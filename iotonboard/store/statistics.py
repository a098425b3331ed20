"""Counts over all devices, made inside SQLite: what the report shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.model import from_epoch, to_epoch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime, timedelta

    from iotonboard.store.store import Store


def registered_by_month(store: Store, begin: datetime, end: datetime) -> dict[str, int]:
    """How many devices were registered, by ``YYYY-MM`` in UTC, from ``begin`` to ``end``; a renewal is none."""
    return _by_month(store, "created_at", "device WHERE TRUE", begin, end)


def revoked_by_month(store: Store, begin: datetime, end: datetime) -> dict[str, int]:
    """How many certificates were taken back, by month as above; one that a renewal replaced was not."""
    return _by_month(store, "revocation_date", "revocation WHERE reason <> 'superseded'", begin, end)


def expiring_by_month(store: Store, begin: datetime, end: datetime) -> dict[str, int]:
    """How many certificates expire that nobody renewed or revoked, by month as above."""
    not_renewed = "unrevoked_certificate c WHERE NOT EXISTS (SELECT 1 FROM overlap o WHERE o.certificate = c.id)"
    return _by_month(store, "not_after", not_renewed, begin, end)


def days_of_ends(store: Store, now: datetime, windows: Mapping[str, timedelta]) -> set[date]:
    """The days (UTC) on which a certificate or CRL ends, replaced and revoked ones among them.

    Up to as long after ``now`` as ``windows`` says of each kind; of devices as long before too.
    """
    query = """SELECT not_after / 86400 FROM certificate WHERE device IS NOT NULL AND not_after BETWEEN ? AND ?
        UNION SELECT not_after / 86400 FROM certificate WHERE device IS NULL AND not_after BETWEEN ? AND ?
        UNION SELECT next_update / 86400 FROM crl WHERE next_update BETWEEN ? AND ?"""
    spans = [(now - windows["device"], now + windows["device"])]
    spans += [(now, now + windows[kind]) for kind in ("broker", "crl")]
    values = tuple(to_epoch(moment) for span in spans for moment in span)
    return set(store.records(lambda day: from_epoch(day * 86400).date(), query, values))


def _by_month(store: Store, column: str, rows: str, begin: datetime, end: datetime) -> dict[str, int]:
    query = f"""SELECT strftime('%Y-%m', {column}, 'unixepoch'), count(*) FROM {rows}
        AND {column} BETWEEN ? AND ? GROUP BY 1"""
    return dict(store.rows(query, (to_epoch(begin), to_epoch(end))))


def common_attributes(store: Store) -> list[str]:
    """Names of the attributes, those that most devices have first."""
    query = "SELECT a.key FROM device d, json_each(d.attributes) a GROUP BY 1 ORDER BY count(*) DESC, 1"
    return store.records(str, query)


def common_values(store: Store, attribute: str, limit: int) -> list[tuple[str, int]]:
    """The values of an attribute that most devices have, and how many have each."""
    query = """SELECT a.value, count(*) FROM device d, json_each(d.attributes) a WHERE a.key = ?
        GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?"""
    return store.records(lambda value, count: (str(value), count), query, (attribute, limit))


def count_values(store: Store, attribute: str) -> tuple[int, int]:
    """How many different values an attribute has, and how many devices have one."""
    query = "SELECT count(DISTINCT a.value), count(*) FROM device d, json_each(d.attributes) a WHERE a.key = ?"
    return store.record(lambda values, devices: (values, devices), query, (attribute,)) or (0, 0)
