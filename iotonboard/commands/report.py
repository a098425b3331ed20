"""``report``: gather what the page shows, by a handful of queries that count inside SQLite."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from iotonboard import audit
from iotonboard.model import from_epoch, to_epoch
from iotonboard.report.facts import AuditLine, CheckLine, Count, CrlSpan, Facts, Month

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iotonboard.statedir import State

_MONTHS = 12
_AUDIT_ROWS = 20
_CRLS = 8
_ATTRIBUTES, _VALUES = 4, 8

_UNREVOKED = "NOT EXISTS (SELECT 1 FROM revocation r WHERE r.certificate = c.id)"
_ACTIVE = (
    "SELECT count(DISTINCT c.device) FROM certificate c WHERE c.device IS NOT NULL AND c.not_after >= ?"  # noqa: S608
    f" AND {_UNREVOKED}"
)
_REVOKED = (
    "SELECT count(DISTINCT c.device) FROM revocation p JOIN certificate c ON c.id = p.certificate"
    " JOIN device d ON d.id = c.device"
    " WHERE d.retired_at IS NULL AND NOT EXISTS (SELECT 1 FROM certificate o WHERE o.device = c.device"
    " AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.certificate = o.id))"
)
_RETIRED = "SELECT count(*) FROM device WHERE retired_at IS NOT NULL"
_BY_MONTH = (
    "SELECT strftime('%Y-%m', {column}, 'unixepoch'), count(*) FROM {table} WHERE {column} BETWEEN ? AND ? GROUP BY 1"
)
_ATTRIBUTE_NAMES = (
    "SELECT a.key, count(*) FROM device d, json_each(d.attributes) a GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?"
)
_ATTRIBUTE_VALUES = (
    "SELECT a.value, count(*) FROM device d, json_each(d.attributes) a WHERE a.key = ?"
    " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?"
)


def gather(state: State, checks: Iterable[CheckLine]) -> Facts:
    """Everything that the page shows, from one consistent view of the database."""
    now = state.clock()
    with state.store.reading():
        issuer = state.store.issuers()[0]
        newest = audit.head(state.store.connection)
        return Facts(
            title="Device identities",
            made_at=now,
            ca_not_after=issuer.validity.not_after,
            ca_fingerprint=issuer.fingerprint,
            statuses=_statuses(state, now),
            attributes=_attributes(state),
            past=_past(state, now),
            coming=_coming(state, now),
            crls=_crls(state, issuer.id),
            listed=sum({row.issuer: row.revoked for row in state.store.crl_generation()}.values()),
            audit=_latest(state, newest.seq),
            audit_head=audit.printable_head(newest),
            checks=tuple(checks),
        )


def _statuses(state: State, now: datetime) -> tuple[Count, ...]:
    connection = state.store.connection
    devices = state.store.count_devices()
    active = int(connection.execute(_ACTIVE, (to_epoch(now),)).fetchone()[0])
    revoked = int(connection.execute(_REVOKED).fetchone()[0])
    retired = int(connection.execute(_RETIRED).fetchone()[0])
    expired = devices - active - revoked - retired
    return Count("active", active), Count("expired", expired), Count("revoked", revoked), Count("retired", retired)


def _attributes(state: State) -> tuple[tuple[str, tuple[Count, ...]], ...]:
    connection = state.store.connection
    names = [row[0] for row in connection.execute(_ATTRIBUTE_NAMES, (_ATTRIBUTES,)).fetchall()]
    return tuple(
        (
            name,
            tuple(
                Count(str(value), number) for value, number in connection.execute(_ATTRIBUTE_VALUES, (name, _VALUES))
            ),
        )
        for name in names
    )


def _past(state: State, now: datetime) -> tuple[Month, ...]:
    months = _months(now, range(1 - _MONTHS, 1))
    begin = datetime.fromisoformat(months[0].label + "-01").replace(tzinfo=UTC)
    registered = _by_month(state, "certificate", "created_at", begin, now)
    revoked = _by_month(state, "revocation", "revocation_date", begin, now)
    return tuple(
        replace(month, registered=registered.get(month.label, 0), revoked=revoked.get(month.label, 0))
        for month in months
    )


def _coming(state: State, now: datetime) -> tuple[Month, ...]:
    months = _months(now, range(_MONTHS + 1))
    end = _months(now, [_MONTHS + 1])[0].label + "-01"
    expiring = _by_month(state, "certificate", "not_after", now, datetime.fromisoformat(end).replace(tzinfo=UTC))
    return tuple(replace(month, expiring=expiring.get(month.label, 0)) for month in months)


def _months(now: datetime, offsets: Iterable[int]) -> list[Month]:
    months = [divmod(now.year * 12 + now.month - 1 + offset, 12) for offset in offsets]
    return [Month(f"{year:04}-{month + 1:02}") for year, month in months]


def _by_month(state: State, table: str, column: str, begin: datetime, end: datetime) -> dict[str, int]:
    query = _BY_MONTH.format(table=table, column=column)
    return dict(state.store.connection.execute(query, (to_epoch(begin), to_epoch(end))).fetchall())


def _crls(state: State, issuing: int) -> tuple[CrlSpan, ...]:
    query = "SELECT number, this_update, next_update, revoked, issuer FROM crl ORDER BY id DESC LIMIT ?"
    return tuple(
        CrlSpan(number, from_epoch(this_update), from_epoch(next_update), revoked, issuer != issuing)
        for number, this_update, next_update, revoked, issuer in state.store.connection.execute(query, (_CRLS,))
    )


def _latest(state: State, newest: int) -> tuple[AuditLine, ...]:
    rows = list(audit.rows(state.store.connection, since_seq=max(newest - _AUDIT_ROWS, 0)))
    return tuple(
        AuditLine(row.seq, row.time, f"{row.operator}@{row.host}", row.command, row.subject, _short(row.detail))
        for row in reversed(rows)
    )


def _short(detail: str) -> str:
    """The detail of a row as ``key=value`` pairs; long values are cut."""
    return " ".join(f"{key}={str(value)[:16]}" for key, value in json.loads(detail).items())
