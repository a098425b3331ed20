"""``report``: gather what the page shows, by a handful of queries that count inside SQLite."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from iotonboard.health.report.facts import AuditLine, CheckLine, Count, CrlSpan, Facts, Month
from iotonboard.model import to_epoch
from iotonboard.pki.facts import certificate_facts
from iotonboard.store import audit
from iotonboard.store.crls import crl_generation, replaced_crls
from iotonboard.store.devices import count_devices, count_status
from iotonboard.store.issuers import current_issuers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iotonboard.state.state import State
    from iotonboard.store.crls import CrlRow

_MONTHS = 12
_AUDIT_ROWS = 20
_CRLS_AHEAD, _CRLS_REPLACED = 12, 4
_ATTRIBUTES, _VALUES = 4, 8

_UNREVOKED = "NOT EXISTS (SELECT 1 FROM revocation r WHERE r.certificate = c.id)"
_ACTIVE = (
    "SELECT count(DISTINCT c.device) FROM certificate c WHERE c.device IS NOT NULL AND c.not_after >= ?"  # noqa: S608
    f" AND {_UNREVOKED}"
)
_BY_MONTH = "SELECT strftime('%Y-%m', {0}, 'unixepoch'), count(*) FROM {1} AND {0} BETWEEN ? AND ? GROUP BY 1"
# A renewal is neither a new device nor a device that was taken back, and what it replaces may expire.
_NEW_DEVICES = "device WHERE TRUE"
_TAKEN_BACK = "revocation WHERE reason <> 'superseded'"
_NOT_RENEWED = f"certificate c WHERE {_UNREVOKED} AND NOT EXISTS (SELECT 1 FROM overlap o WHERE o.certificate = c.id)"  # noqa: S608
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
        issuer = current_issuers(state.store)[0]
        newest = audit.head(state.store.connection)
        return Facts(
            title="Device identities",
            made_at=now,
            ca_name=certificate_facts(issuer.der).subject_cn,
            ca_not_after=issuer.validity.not_after,
            ca_fingerprint=issuer.fingerprint,
            statuses=_statuses(state, now),
            attributes=_attributes(state),
            past=_past(state, now),
            coming=_coming(state, now),
            crls=_crls(state, issuer.id, now),
            listed=sum({row.issuer: row.revoked for row in crl_generation(state.store)}.values()),
            audit=_latest(state, newest.seq),
            audit_head=audit.printable_head(newest),
            checks=tuple(checks),
        )


def _statuses(state: State, now: datetime) -> tuple[Count, ...]:
    connection = state.store.connection
    devices = count_devices(state.store)
    active = int(connection.execute(_ACTIVE, (to_epoch(now),)).fetchone()[0])
    held, revoked, retired = (count_status(state.store, each, now) for each in ("on-hold", "revoked", "retired"))
    expired = devices - active - held - revoked - retired
    counts = (("active", active), ("expired", expired), ("on-hold", held), ("revoked", revoked), ("retired", retired))
    return tuple(Count(label, number) for label, number in counts)


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
    registered = _by_month(state, "created_at", _NEW_DEVICES, begin, now)
    revoked = _by_month(state, "revocation_date", _TAKEN_BACK, begin, now)
    return tuple(
        replace(month, registered=registered.get(month.label, 0), revoked=revoked.get(month.label, 0))
        for month in months
    )


def _coming(state: State, now: datetime) -> tuple[Month, ...]:
    months = _months(now, range(_MONTHS + 1))
    end = _months(now, [_MONTHS + 1])[0].label + "-01"
    last = datetime.fromisoformat(end).replace(tzinfo=UTC) - timedelta(seconds=1)
    expiring = _by_month(state, "not_after", _NOT_RENEWED, now, last)
    return tuple(replace(month, expiring=expiring.get(month.label, 0)) for month in months)


def _months(now: datetime, offsets: Iterable[int]) -> list[Month]:
    months = [divmod(now.year * 12 + now.month - 1 + offset, 12) for offset in offsets]
    return [Month(f"{year:04}-{month + 1:02}") for year, month in months]


def _by_month(state: State, column: str, rows: str, begin: datetime, end: datetime) -> dict[str, int]:
    query = _BY_MONTH.format(column, rows)
    return dict(state.store.connection.execute(query, (to_epoch(begin), to_epoch(end))).fetchall())


def _crls(state: State, issuing: int, now: datetime) -> tuple[CrlSpan, ...]:
    """The published CRLs, those in force and those of a calendar to come, behind some that they replaced."""
    published = crl_generation(state.store, with_der=False)
    replaced = replaced_crls(state.store, _CRLS_REPLACED)
    in_force = {
        max((row for row in published if row.issuer == issuer and row.this_update <= now), key=_this_update)
        for issuer in {row.issuer for row in published if row.this_update <= now}
    }
    shown = [(row, "replaced") for row in replaced]
    shown += [(row, "in force") for row in published if row in in_force]
    ahead = [row for row in published if row.this_update > now]
    shown += [(row, "to come") for row in ahead[:_CRLS_AHEAD]]
    return tuple(
        CrlSpan(row.number, row.this_update, row.next_update, row.revoked, standing, row.issuer != issuing)
        for row, standing in shown
    )


def _this_update(row: CrlRow) -> datetime:
    return row.this_update


def _latest(state: State, newest: int) -> tuple[AuditLine, ...]:
    rows = list(audit.rows(state.store.connection, since_seq=max(newest - _AUDIT_ROWS, 0)))
    return tuple(
        AuditLine(row.seq, row.time, f"{row.operator}@{row.host}", row.command, row.subject, _short(row.detail))
        for row in reversed(rows)
    )


def _short(detail: str) -> str:
    """The detail of a row as ``key=value`` pairs; long values are cut."""
    return " ".join(f"{key}={str(value)[:20]}" for key, value in json.loads(detail).items())
