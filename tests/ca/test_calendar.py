"""When CRLs begin and end: a broker that moves along the file by itself always has one, and always the newest."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from iotonboard.ca.crl_calendar import Calendar, Period, first_update, new_calendar, plan_periods
from iotonboard.errors import BusyError, PolicyError

NOW = datetime(2030, 6, 1, 12, tzinfo=UTC)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
LONG_AGO = NOW - 100 * DAY


def days(period: Period) -> tuple[float, float]:
    """Begin and end in days from now."""
    return (period.this_update - NOW) / DAY, (period.next_update - NOW) / DAY


def in_force(periods: list[Period], moment: datetime) -> Period:
    """What a broker takes: the newest that has begun; it must not have ended."""
    found = max((one for one in periods if one.this_update <= moment), key=lambda one: one.this_update)
    assert moment < found.next_update
    return found


def test_the_first_list_is_backdated_for_slow_clocks_but_not_before_the_ca() -> None:
    assert first_update(NOW, None, LONG_AGO, skew_minutes=30) == NOW - timedelta(minutes=30)
    begun = NOW - timedelta(minutes=10)
    assert first_update(NOW, None, begun, skew_minutes=30) == begun


def test_each_list_is_newer_than_the_one_that_is_in_force() -> None:
    before = NOW - timedelta(minutes=5)
    assert first_update(NOW, before, LONG_AGO, skew_minutes=30) == before + SECOND
    assert first_update(NOW, NOW - SECOND, LONG_AGO, skew_minutes=30) == NOW
    for ahead in (NOW, NOW + SECOND):
        with pytest.raises(BusyError):
            first_update(NOW, ahead, LONG_AGO, skew_minutes=30)


def test_without_a_calendar_there_is_one_list() -> None:
    first = NOW - timedelta(hours=1)
    assert plan_periods(first, NOW, days=30, calendar=None) == [Period(first, NOW + 30 * DAY)]


def test_a_calendar_of_one_lasts_for_its_whole_interval() -> None:
    calendar = new_calendar(1, 7, NOW - 6 * DAY, max_days=180)
    assert plan_periods(NOW, NOW, days=30, calendar=calendar) == [Period(NOW, NOW + 7 * DAY)]


def test_each_list_lasts_until_the_one_after_the_next_begins() -> None:
    """So that a broker that reads the file late, or whose clock is slow, has one all the same."""
    calendar = new_calendar(4, 7, NOW, max_days=180)
    periods = plan_periods(NOW, NOW, days=30, calendar=calendar)
    assert [days(one) for one in periods] == [(0, 14), (7, 21), (14, 28), (21, 28)]
    assert calendar.horizon_days == 28


def test_planned_times_stay_while_lists_are_signed_between_them() -> None:
    """They follow from the first day; each generation begins a second after the one before, and so is the newer one."""
    calendar = replace(new_calendar(3, 7, NOW - 10 * DAY, max_days=180), round=5)
    first, *later = plan_periods(NOW, NOW, days=30, calendar=calendar)
    shift = 5 * SECOND
    assert first == Period(NOW, NOW + 11 * DAY + shift)
    assert later == [
        Period(NOW + 4 * DAY + shift, NOW + 18 * DAY + shift),
        Period(NOW + 11 * DAY + shift, NOW + 18 * DAY + shift),
    ]


def test_a_list_that_is_signed_at_a_planned_time_counts_from_there() -> None:
    calendar = new_calendar(2, 7, NOW - 14 * DAY, max_days=180)
    assert [days(one) for one in plan_periods(NOW, NOW, days=30, calendar=calendar)] == [(0, 14), (7, 14)]
    early = plan_periods(NOW, NOW - SECOND, days=30, calendar=calendar)
    assert [days(one) for one in early] == [(0, 7), (0, 7)]


def test_a_clock_before_the_calendar_s_first_day_plans_from_that_day() -> None:
    calendar = new_calendar(2, 7, NOW + 3 * DAY, max_days=180)
    assert [days(one) for one in plan_periods(NOW, NOW, days=30, calendar=calendar)] == [(0, 17), (10, 17)]


@pytest.mark.parametrize("count", [2, 3, 8])
def test_a_broker_has_a_list_at_every_moment_and_a_newer_generation_wins(count: int) -> None:
    old = plan_periods(NOW, NOW, days=30, calendar=new_calendar(count, 7, NOW, max_days=180))
    again = NOW + 3 * DAY
    calendar = replace(new_calendar(count, 7, NOW, max_days=180), round=1)
    new = plan_periods(again, again, days=30, calendar=calendar)
    moment = again + SECOND  # at its planned second the old list is the newer one, for that second
    while moment < new[-1].next_update:
        assert in_force(new, moment)
        if moment < old[-1].next_update:
            assert in_force([*old, *new], moment) in new
        moment += timedelta(hours=5)


def test_how_far_ahead_a_calendar_may_reach() -> None:
    assert new_calendar(8, 7, NOW, max_days=56).horizon_days == 56
    with pytest.raises(PolicyError, match="8 x 7 days reaches 56 days ahead; crl_calendar_max_days allows 55"):
        new_calendar(8, 7, NOW, max_days=55)


@pytest.mark.parametrize(("max_days", "count"), [(180, 8), (56, 8), (55, 7), (14, 2), (13, 1), (1, 1)])
def test_a_cap_that_was_lowered_later_shortens_the_calendar_to_one_list_at_least(max_days: int, count: int) -> None:
    assert Calendar(8, 7, 0).capped(max_days) == Calendar(count, 7, 0)
