"""With a million devices no everyday question may walk all certificates: SQLite says how it would answer each."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from iotonboard.model import SerialNumber
from iotonboard.store.acl_members import denied_ids, permitted_ids
from iotonboard.store.certificates import certificate_by_serial, newest_device_certificates
from iotonboard.store.crls import crl_entries, crl_entry, crl_generation
from iotonboard.store.deliveries import deliveries_of, never_fetched, open_deliveries
from iotonboard.store.device_search import DeviceFilter, find_devices
from iotonboard.store.devices import device_record
from iotonboard.store.issuers import brokers_of
from iotonboard.store.keys import key_holder
from iotonboard.store.left_to_do import has_expired_delivery
from iotonboard.store.misnamed import certificate_suspects, topic_suspects
from iotonboard.store.overlaps import overdue_overlaps
from iotonboard.store.pending import pending_files
from iotonboard.store.recalled import recorded_topics
from iotonboard.store.revocations import held_serials, revocable
from iotonboard.store.secrets import kept_before, kept_for_nothing, kept_of
from iotonboard.store.store import Store
from iotonboard.store.topics import device_topics, extra_topics

from support.rows import NOW, give, make_store

SOON = NOW + timedelta(days=3)
QUESTIONS: dict[str, Callable[[Store], object]] = {
    "list --status expired": lambda s: list(find_devices(s, DeviceFilter(status="expired"), NOW)),
    "list --status revoked": lambda s: list(find_devices(s, DeviceFilter(status="revoked"), NOW)),
    "list --status on-hold": lambda s: list(find_devices(s, DeviceFilter(status="on-hold"), NOW)),
    "list --status retired": lambda s: list(find_devices(s, DeviceFilter(status="retired"), NOW)),
    "list --expiring-within": lambda s: list(find_devices(s, DeviceFilter(expiring_before=SOON), NOW)),
    "expiring": lambda s: list(find_devices(s, DeviceFilter(expiring_before=SOON, expired_since=NOW), NOW)),
    "denied in the ACL": lambda s: denied_ids(s, NOW, NOW),
    "denied by another name": lambda s: certificate_suspects(s, (), NOW, NOW),
    "topics of another device": lambda s: topic_suspects(s, ()),
    "show": lambda s: (device_record(s, "dev"), deliveries_of(s, "dev"), device_topics(s, "dev")),
    "revoke": lambda s: (revocable(s, "dev", NOW), held_serials(s, "dev"), certificate_by_serial(s, SerialNumber(1))),
    "key of somebody else": lambda s: key_holder(s, bytes(32)),
    "entries of a CRL": lambda s: (list(crl_entries(s, 1, NOW)), crl_entry(s, 1, NOW, SerialNumber(1))),
    "published CRLs": crl_generation,
    "overlaps": lambda s: overdue_overlaps(s, NOW),
    "deliveries": lambda s: (open_deliveries(s), never_fetched(s, NOW), has_expired_delivery(s, NOW)),
    "files to be written": lambda s: pending_files(s, 9, is_broker=False),
    "kept keys": lambda s: (kept_of(s, "dev"), kept_before(s, 0, NOW), kept_for_nothing(s, NOW)),
    "topics": lambda s: (extra_topics(s), recorded_topics(s)),
    "brokers": lambda s: brokers_of(s, 1, NOW),
    "newest certificates": lambda s: newest_device_certificates(s, 50),
}
# A walk that is left when the page is full, or along an index of few.
BOUNDED = {
    "newest certificates": "SCAN c",
    "brokers": "SCAN certificate USING COVERING INDEX certificate_host",
    "list --status retired": "SCAN device USING INDEX device_retired",
}
WALKED = re.compile(r"SCAN (?:TABLE )?(certificate|device|[cdo])\b")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with contextlib.closing(make_store(tmp_path_factory.mktemp("plans"))) as store:
        with store.transaction():
            give(store, "dev", 1)
        yield store


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_question_walks_all_certificates_or_devices(
    store: Store, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[str] = []
    run = Store.execute

    def explained(self: Store, statement: str, parameters: object = ()) -> object:
        if statement.lstrip().upper().startswith("SELECT"):
            plans.extend(row[3] for row in run(self, f"EXPLAIN QUERY PLAN {statement}", parameters))
        return run(self, statement, parameters)

    monkeypatch.setattr(Store, "execute", explained)
    QUESTIONS[name](store)
    assert plans
    walks = [plan for plan in plans if WALKED.search(plan) and BOUNDED.get(name, "-") not in plan]
    assert walks == []


def test_this_test_sees_a_walk(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(QUESTIONS, "a walk", lambda s: list(permitted_ids(s, NOW)))
    with pytest.raises(AssertionError, match="SCAN"):
        test_no_question_walks_all_certificates_or_devices(store, "a walk", monkeypatch)
