"""Deliveries, their ends, and receipts; overlaps of renewals, which end in the same way: by a time that comes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from iotonboard.model import SerialNumber
from iotonboard.store.deliveries import (
    Delivery,
    add_delivery,
    add_receipt,
    all_deliveries,
    close_deliveries,
    confirmed_at,
    deliveries_of,
    never_fetched,
    open_deliveries,
    set_erased,
    set_outcome,
)
from iotonboard.store.left_to_do import has_expired_delivery
from iotonboard.store.overlaps import begin_overlap, overdue_overlaps, overlap_end
from iotonboard.store.store import Store

from support.rows import NOW, PAST, give, make_store, take

HOUR = timedelta(hours=1)
ONE, TWO = SerialNumber(1), SerialNumber(2)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(make_store(tmp_path)) as store, store.transaction():
        for serial, name in enumerate(("first", "second"), start=1):
            give(store, name, serial)
        yield store


def deliver(store: Store, serial: SerialNumber, token: str = "", expires_at: datetime | None = None) -> int:
    place = token or "/media/stick/first.zip"
    return add_delivery(store, serial, token=token * 32, place=place, sha256=bytes(32), now=NOW, expires_at=expires_at)


def status(store: Store, number: int, now: datetime = NOW) -> str:
    return next(one for one in all_deliveries(store) if one.id == number).status(now)


def test_a_delivery_is_pending_until_it_ends(store: Store) -> None:
    link, copy = deliver(store, ONE, "a", NOW + HOUR), deliver(store, TWO)
    assert (status(store, link), status(store, link, NOW + HOUR), status(store, copy)) == (
        "pending", "expired", "interrupted",
    )  # fmt: skip
    set_outcome(store, copy, "copied")
    set_outcome(store, link, "fetched")
    assert (status(store, link, NOW + HOUR), status(store, copy)) == ("fetched", "copied")


def test_a_link_is_open_until_nothing_is_left_of_it(store: Store) -> None:
    late, soon = deliver(store, ONE, "a", NOW + 2 * HOUR), deliver(store, TWO, "b", NOW + HOUR)
    deliver(store, ONE)
    assert [one.id for one in open_deliveries(store)] == [soon, late]
    set_outcome(store, soon, "expired")
    assert [one.id for one in open_deliveries(store)] == [soon, late]
    set_erased(store, soon, NOW)
    assert [one.id for one in open_deliveries(store)] == [late]
    assert not has_expired_delivery(store, NOW + 2 * HOUR - timedelta(seconds=1))
    assert has_expired_delivery(store, NOW + 2 * HOUR)


def test_a_receipt_is_kept_once_and_closes_what_is_open(store: Store) -> None:
    number, other = deliver(store, ONE, "a", NOW + HOUR), deliver(store, TWO, "b", NOW + HOUR)
    assert confirmed_at(store, ONE) is None
    assert add_receipt(store, ONE, NOW, proved=True)
    assert not add_receipt(store, ONE, NOW + HOUR, proved=True)
    assert confirmed_at(store, ONE) == NOW
    close_deliveries(store, ONE, "fetched")
    assert (status(store, number), status(store, other)) == ("fetched", "pending")
    assert [type(one) for one in deliveries_of(store, "first")] == [Delivery]


@pytest.mark.parametrize("then", ["nothing", "another delivery", "a receipt", "a revocation"])
def test_who_was_never_fetched_is_named_as_long_as_it_matters(store: Store, then: str) -> None:
    set_outcome(store, deliver(store, ONE, "a", NOW), "expired")
    if then == "another delivery":
        deliver(store, ONE, "b", NOW + HOUR)
    elif then == "a receipt":
        add_receipt(store, ONE, NOW, proved=False)
    elif then == "a revocation":
        take(store, 1)
    assert never_fetched(store, NOW) == (["first"] if then == "nothing" else [])


# -- overlaps -------------------------------------------------------------------------------------------------------


def test_an_overlap_is_over_when_its_time_has_come_and_a_valid_successor_is_there(store: Store) -> None:
    begin_overlap(store, ONE, NOW + HOUR)
    begin_overlap(store, ONE, NOW + 2 * HOUR)  # a second renewal does not put it off
    assert overlap_end(store, ONE) == NOW + HOUR
    assert overdue_overlaps(store, NOW + HOUR) == []  # nobody takes its place
    give(store, "first", 3)
    assert overdue_overlaps(store, NOW + HOUR - timedelta(seconds=1)) == []
    (overdue,) = overdue_overlaps(store, NOW + HOUR)
    assert (overdue.serial, overdue.device_id) == (ONE, "first")
    take(store, 3)
    assert overdue_overlaps(store, NOW + HOUR) == []


def test_an_overlap_without_an_end_lasts_until_the_certificate_expires(store: Store) -> None:
    give(store, "first", 3)
    begin_overlap(store, ONE, None)
    assert overlap_end(store, ONE) is None
    assert overdue_overlaps(store, NOW + timedelta(days=9999)) == []
    begin_overlap(store, ONE, NOW)
    assert overlap_end(store, ONE) == NOW


def test_what_expired_or_was_revoked_needs_no_end(store: Store) -> None:
    give(store, "old", 5, PAST)
    give(store, "old", 6)
    give(store, "second", 7)
    for serial in (SerialNumber(5), TWO):
        begin_overlap(store, serial, NOW)
    take(store, 2)
    assert overdue_overlaps(store, NOW) == []
