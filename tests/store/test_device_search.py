"""Devices by status: the view says in SQL what a device's record says in Python, and every way of listing agrees."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from iotonboard.model import DeviceId, RevocationReason
from iotonboard.store import device_search
from iotonboard.store.device_search import DeviceFilter, count_statuses, device_ids, find_devices
from iotonboard.store.devices import add_device, set_retired
from iotonboard.store.store import Store

from support.rows import NOW, PAST, YEAR, give, make_store, take

STATUSES = ("active", "expired", "on-hold", "revoked", "retired")
HOLD = RevocationReason.CERTIFICATE_HOLD


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Devices of every history of up to three certificates, in an order that is not that of their ids."""
    chance = random.Random(7)  # noqa: S311 - the same fleet every time
    with contextlib.closing(make_store(tmp_path_factory.mktemp("fleet"))) as store:
        with store.transaction():
            for number in chance.sample(range(600), 600):
                name = chance.choice(("dev", "DEV")) + f"-{number:04}"
                for which in range(chance.randint(1, 3)):
                    serial = 1 + 3 * number + which
                    give(store, name, serial, chance.choice((YEAR, PAST)))
                    if chance.random() < 0.5:
                        take(store, serial, chance.choice((HOLD, RevocationReason.SUPERSEDED)))
                if chance.random() < 0.1:
                    set_retired(store, name, NOW)
        yield store


def ids(store: Store, **chosen: object) -> list[str]:
    return [device.device_id for device in find_devices(store, DeviceFilter(**chosen), NOW)]


@pytest.mark.parametrize("page", [7, 500])
@pytest.mark.parametrize("status", STATUSES)
def test_a_status_in_sql_is_the_one_in_python(
    fleet: Store, status: str, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_search, "_PAGE", page)
    everybody = list(find_devices(fleet, DeviceFilter(), NOW))
    wanted = [device.device_id for device in everybody if device.status(NOW) == status]
    assert len(everybody) == 600
    assert len(wanted) > 20
    assert ids(fleet, status=status) == wanted
    assert ids(fleet, status=status, limit=9) == wanted[:9]
    assert count_statuses(fleet, NOW)[status] == len(wanted)


def test_ids_are_in_order_without_regard_to_case(fleet: Store) -> None:
    found = ids(fleet)
    assert found == sorted(found, key=str.lower)
    assert device_ids(fleet, "dev-000", 100) == [name for name in found if name.lower().startswith("dev-000")]


@pytest.mark.parametrize("days", [1, 365, 366])
def test_what_expires_is_the_last_valid_certificate(fleet: Store, days: int) -> None:
    end = NOW + timedelta(days=days)
    wanted = [
        device.device_id
        for device in find_devices(fleet, DeviceFilter(), NOW)
        if device.status(NOW) == "active"
        and max(one.validity.not_after for one in device.certificates if one.revocation is None) < end
    ]
    assert ids(fleet, expiring_before=end) == wanted
    assert bool(wanted) == (days == 366)


def test_what_expired_lately_is_not_what_was_revoked_or_held(fleet: Store) -> None:
    since = NOW - timedelta(days=40)
    expired = [device.device_id for device in find_devices(fleet, DeviceFilter(status="expired"), NOW)]
    assert ids(fleet, expiring_before=NOW + timedelta(days=1), expired_since=since) == expired


def test_attributes_are_compared_as_they_are(tmp_path: Path) -> None:
    with contextlib.closing(make_store(tmp_path)) as store, store.transaction():
        for name, attributes in (("a", {"odd.key": "1"}), ("b", {"odd.key": "2", "line": "1"}), ("c", {})):
            add_device(store, DeviceId(name), "", attributes, NOW)
        assert ids(store, attributes=(("odd.key", "1"),)) == ["a"]
        assert ids(store, attributes=(("odd.key", "2"), ("line", "1"))) == ["b"]
