"""Erasing keys, salts and bundles: in their place, out of every octet of the database, and in groups."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from iotonboard.model import SerialNumber
from iotonboard.store.deliveries import add_receipt
from iotonboard.store.keys import is_device_made, sealed_key
from iotonboard.store.pending import add_pending, clear_pending, pending_files
from iotonboard.store.secrets import (
    add_purge,
    kept_before,
    kept_confirmed,
    kept_for_nothing,
    kept_of,
    purged_at,
    scrub_log,
)
from iotonboard.store.store import Store

from support.rows import NOW, PAST, YEAR, give, make_store, take


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(make_store(tmp_path)) as store:
        yield store


def octets_of(store: Store) -> bytes:
    folder = Path(store.path).parent
    return b"".join(path.read_bytes() for path in sorted(folder.glob("devices.db*")))


def test_a_purged_key_is_gone_from_every_octet_of_the_database(store: Store) -> None:
    with store.transaction():
        for serial in range(1, 300):
            give(store, f"dev-{serial:03}", serial)
        add_pending(store, SerialNumber(150), b"bundle of 150" * 100)
    assert b"key 150" in octets_of(store)
    with store.transaction():
        add_purge(store, SerialNumber(150), NOW)
        clear_pending(store, [files.certificate for files in pending_files(store, 9, is_broker=False)])
    assert scrub_log(store)
    left = octets_of(store)
    assert b"key 150" not in left
    assert b"bundle of 150" not in left
    assert b"key 149" in left
    assert b"key 151" in left
    assert sealed_key(store, SerialNumber(150)) is None
    assert not is_device_made(store, SerialNumber(150))
    assert purged_at(store, SerialNumber(150)) == NOW


def test_a_purge_changes_no_size_so_no_row_is_moved(store: Store) -> None:
    sizes = "SELECT length(key_der), length(salt), typeof(key_der), typeof(salt) FROM certificate"
    with store.transaction():
        give(store, "dev", 1)
        before = store.rows(sizes)
        add_purge(store, SerialNumber(1), NOW)
        assert store.rows(sizes) == before


def test_the_files_of_the_newest_certificate_are_written_anew(store: Store) -> None:
    with store.transaction():
        for serial in (1, 2):
            give(store, "dev", serial)
        for serial in (1, 2):
            add_purge(store, SerialNumber(serial), NOW)
        (files,) = pending_files(store, 9, is_broker=False)
    assert (files.name, files.key_der, files.bundle) == ("dev", None, None)


def test_a_log_that_somebody_reads_is_scrubbed_by_the_next_command(store: Store) -> None:
    with contextlib.closing(Store.open(store.path, timeout_s=60, now=NOW)) as other:
        with store.transaction():
            give(store, "dev", 1)
        with other.reading():
            other.meta("initialised")
            with store.transaction():
                add_purge(store, SerialNumber(1), NOW)
                store.execute("DELETE FROM pending")
            assert not scrub_log(store)
        assert scrub_log(store)
    assert b"key 001" not in octets_of(store)


def test_groups_go_on_behind_the_last_and_leave_out_what_was_purged(store: Store) -> None:
    with store.transaction():
        for serial in range(1, 601):
            give(store, f"dev-{serial:03}", serial)
        add_purge(store, SerialNumber(300), NOW)
        store.execute("UPDATE certificate SET created_at = created_at + 60 WHERE id > 590")
    found, after = [], 0
    while group := kept_before(store, after, NOW):
        assert len(group.kept) <= 256
        found += [int(kept.serial) for kept in group.kept]
        after = group.last
    assert found == [serial for serial in range(1, 591) if serial != 300]
    assert kept_before(store, 0, NOW - timedelta(seconds=1)) is None


def test_what_was_confirmed_is_found_in_the_order_of_the_receipts(store: Store) -> None:
    with store.transaction():
        for serial in range(1, 5):
            give(store, f"dev-{serial}", serial)
        for serial in (3, 1):
            add_receipt(store, SerialNumber(serial), NOW, proved=False)
    first = kept_confirmed(store, 0)
    assert first is not None
    assert {kept.device_id for kept in first.kept} == {"dev-1", "dev-3"}
    assert kept_confirmed(store, first.last) is None


def test_a_key_serves_nobody_once_its_device_has_no_other_certificate(store: Store) -> None:
    with store.transaction():
        for serial, (name, validity) in enumerate(
            (("gone", PAST), ("revoked", YEAR), ("renewed", PAST), ("renewed", YEAR), ("purged", PAST)), start=1
        ):
            give(store, name, serial, validity)
        take(store, 2)
        add_purge(store, SerialNumber(5), NOW)
    later = NOW + timedelta(days=1)
    assert kept_for_nothing(store, later) == ["gone", "revoked"]
    assert [kept.serial for kept in kept_of(store, "renewed")] == [SerialNumber(3), SerialNumber(4)]
    assert kept_of(store, "purged") == []
