"""``report``: a page to look at, from a handful of queries that count inside SQLite."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from iotonboard.disk.files import PRIVATE, refuse_existing, write_atomic
from iotonboard.errors import IotOnboardError
from iotonboard.health.checks.table import run_checks
from iotonboard.health.report.facts import Above, Added, Attribute, AuditLine, Count, CrlSpan, Facts, Month
from iotonboard.health.report.page import render_page
from iotonboard.health.report.words import detail_in_words
from iotonboard.model import LATEST, from_epoch
from iotonboard.pki.facts import certificate_facts
from iotonboard.state.ca_life import validity_in_force
from iotonboard.state.cas_above import CaAbove, cas_above
from iotonboard.state.opened_cas import opened
from iotonboard.state.trust import sealed_trust
from iotonboard.store import audit, trail_rows
from iotonboard.store.crls import crl_generation, replaced_crls
from iotonboard.store.device_search import count_statuses
from iotonboard.store.issuers import current_issuers
from iotonboard.store.statistics import (
    common_attributes,
    common_values,
    count_values,
    expiring_by_month,
    registered_by_month,
    revoked_by_month,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from iotonboard.state.state import State
    from iotonboard.store.crls import CrlRow

_MONTHS = 12
_AUDIT_ROWS = 20
_CRLS_AHEAD, _CRLS_REPLACED = 12, 4
_ATTRIBUTES, _VALUES = 4, 8


def report(state: State, path: str | None = None, *, force: bool = False) -> Facts:
    """Gather what the page shows, and write it to ``path`` where one is named.

    Raises:
        ConflictError: ``path`` exists and ``force`` was not asked for.
        BusyError: the disk refuses.
    """
    if path is not None and not force:
        refuse_existing(path)
    facts = _gather(state)
    if path is not None:
        page = render_page(facts).encode("utf-8", "backslashreplace")  # a path may be no text
        write_atomic(path, page, PRIVATE)
    return facts


def _gather(state: State) -> Facts:
    """Everything that the page shows: what the checks of ``health`` say, and one consistent view of the database."""
    now, checks = state.clock(), tuple(run_checks(state))
    with state.store.reading():
        issuer = current_issuers(state.store)[0]
        newest, published = audit.head(state.store), crl_generation(state.store, with_der=False)
        statuses, names = _statuses(state, now), common_attributes(state.store)
        devices = sum(count.number for count in statuses)
        return Facts(
            title="Device identities",
            made_at=now,
            ca_name=certificate_facts(issuer.der).subject_cn,
            ca_not_after=validity_in_force(state.store, issuer).not_after,
            ca_fingerprint=issuer.fingerprint,
            above=tuple(_above(one) for one in cas_above(state.store, current_issuers(state.store))),
            added=tuple(_added(state)),
            statuses=statuses,
            attributes=tuple(_attribute(state, name, devices) for name in names[:_ATTRIBUTES]),
            more_attributes=tuple(names[_ATTRIBUTES:]),
            past=_past(state, now),
            coming=_coming(state, now),
            crls=_crls(state, published, issuer.id, now),
            crls_to_come=max(sum(row.this_update > now for row in published) - _CRLS_AHEAD, 0),
            listed=sum({row.issuer: row.revoked for row in published}.values()),
            audit=_latest(state, newest.seq),
            audit_rows=newest.seq,
            audit_head=audit.printable_head(newest),
            checks=checks,
        )


def _above(ca: CaAbove) -> Above:
    return Above(ca.name, ca.not_after, ca.fingerprint, ca.crl.next_update if ca.crl else None)


def _added(state: State) -> Iterator[Added]:
    """The CAs that were added, as far as they can be opened; of the others a check tells."""
    with opened(state) as cas:
        for name in cas.names:
            with suppress(IotOnboardError):
                yield _added_ca(name, cas.state(name), state.clock())


def _added_ca(name: str, state: State, now: datetime) -> Added:
    store = state.store
    newest = current_issuers(store)[0]
    lists = (row for row in crl_generation(store, with_der=False) if row.issuer == newest.id)
    ends = max((row.next_update for row in lists), default=None)
    devices = sum(count_statuses(store, now).values())
    return Added(name, devices, newest.validity.not_after, ends, newest.fingerprint)


def _statuses(state: State, now: datetime) -> tuple[Count, ...]:
    counts = count_statuses(state.store, now)
    return tuple(Count(each, counts.get(each, 0)) for each in ("active", "expired", "on-hold", "revoked", "retired"))


def _attribute(state: State, name: str, devices: int) -> Attribute:
    shown = tuple(Count(*found) for found in common_values(state.store, name, _VALUES))
    values, having = count_values(state.store, name)
    if values == having > _VALUES:  # something like a number of each device: bars would say nothing
        shown = ()
    return Attribute(name, shown, values, having - sum(count.number for count in shown), devices - having)


def _past(state: State, now: datetime) -> tuple[Month, ...]:
    registered = registered_by_month(state.store, from_epoch(0), now)
    revoked = revoked_by_month(state.store, from_epoch(0), now)
    months = _months(now, range(1 - _MONTHS, 1))
    shown = [Month(label, registered.pop(label, 0), revoked.pop(label, 0)) for label in months]
    return (Month("earlier", sum(registered.values()), sum(revoked.values())), *shown)


def _coming(state: State, now: datetime) -> tuple[Month, ...]:
    expiring = expiring_by_month(state.store, now, from_epoch(LATEST))
    shown = [Month(label, expiring=expiring.pop(label, 0)) for label in _months(now, range(_MONTHS + 1))]
    return (*shown, Month("later", expiring=sum(expiring.values())))


def _months(now: datetime, offsets: Iterable[int]) -> list[str]:
    months = [divmod(now.year * 12 + now.month - 1 + offset, 12) for offset in offsets]
    return [f"{year:04}-{month + 1:02}" for year, month in months]


def _crls(state: State, published: Iterable[CrlRow], issuing: int, now: datetime) -> tuple[CrlSpan, ...]:
    """The published CRLs, those in force and those of a calendar to come, behind some that they replaced."""
    replaced = replaced_crls(state.store, _CRLS_REPLACED)
    in_force = {
        max((row for row in published if row.issuer == issuer and row.this_update <= now), key=_this_update)
        for issuer in {row.issuer for row in published if row.this_update <= now}
    }
    shown = [(row, "replaced") for row in replaced]
    shown += [(row, "in force") for row in published if row in in_force]
    ahead = [row for row in published if row.this_update > now]
    shown += [(row, "to come") for row in ahead[:_CRLS_AHEAD]]
    spans = (
        CrlSpan(row.number, row.this_update, row.next_update, row.revoked, standing, row.issuer != issuing)
        for row, standing in shown
    )
    return (*spans, *_crls_of_others(state))


def _crls_of_others(state: State) -> Iterator[CrlSpan]:
    """The lists of CAs of others, which end when nobody brings newer ones."""
    for one in sealed_trust(state.store):
        for crl in one.crls:
            times = crl.this_update, crl.next_update
            yield CrlSpan(crl.number, *times, crl.revoked, "in force", is_of_others=True)


def _this_update(row: CrlRow) -> datetime:
    return row.this_update


def _latest(state: State, newest: int) -> tuple[AuditLine, ...]:
    rows = list(trail_rows.rows(state.store, since_seq=max(newest - _AUDIT_ROWS, 0)))
    return tuple(
        AuditLine(row.seq, row.time, f"{row.operator}@{row.host}", row.command, row.subject, detail_in_words(row.said))
        for row in reversed(rows)
    )
