"""The connection: transactions and savepoints, what it remembers, and errors in the program's words."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from iotonboard.errors import BusyError, ConflictError, PolicyError, StateError
from iotonboard.model import Caller, DeviceId, SerialNumber
from iotonboard.store import audit, trail_rows
from iotonboard.store.damage import damage_of
from iotonboard.store.devices import add_device, count_devices, device_record, find_device
from iotonboard.store.issuers import current_issuers, retire_issuer
from iotonboard.store.places import last_published, note_place
from iotonboard.store.store import Store

from support.rows import NOW, give, make_store

CALLER = Caller("somebody", "here", "register")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(make_store(tmp_path)) as store:
        yield store


def another(store: Store, *, timeout_s: float = 0) -> Store:
    return Store.open(store.path, timeout_s=timeout_s, now=NOW)


def write_unchecked(store: Store, statement: str) -> None:
    """What a bad disk or another program does."""
    with contextlib.closing(sqlite3.connect(store.path)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(statement)
        connection.commit()


# -- transactions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("durable", [True, False])
def test_a_transaction_is_kept_whole_or_not_at_all(store: Store, durable: bool) -> None:
    with store.transaction(durable=durable):
        add_device(store, DeviceId("kept"), "", {}, NOW)
    with contextlib.suppress(ConflictError), store.transaction(durable=durable):
        add_device(store, DeviceId("lost"), "", {}, NOW)
        raise ConflictError("no")
    with contextlib.closing(another(store)) as other:
        assert find_device(other, "kept")
        assert find_device(other, "lost") is None
    assert store.row("PRAGMA synchronous") == (2,)


def test_one_transaction_keeps_others_from_writing_and_not_from_reading(store: Store) -> None:
    with contextlib.closing(another(store)) as other, store.transaction():
        add_device(store, DeviceId("new"), "", {}, NOW)
        assert count_devices(other) == 0
        with pytest.raises(BusyError, match="another iotonboard command"), other.transaction():
            pass
    assert count_devices(store) == 1


def test_reading_sees_one_state_whatever_others_write(store: Store) -> None:
    with contextlib.closing(another(store)) as other, other.reading():
        assert (count_devices(other), other.meta("last_event")) == (0, None)
        with store.transaction():
            add_device(store, DeviceId("new"), "", {}, NOW)
            store.set_meta("last_event", 7)
        assert (count_devices(other), other.meta("last_event")) == (0, None)
    assert count_devices(store) == 1


def test_without_waiting_gives_up_at_once_and_waits_again_afterwards(store: Store) -> None:
    with contextlib.closing(another(store, timeout_s=60)) as other:
        with store.transaction(), pytest.raises(BusyError), other.without_waiting(), other.transaction():
            pass
        assert other.row("PRAGMA busy_timeout") == (60_000,)


def test_a_savepoint_undoes_its_block_alone(store: Store) -> None:
    with store.transaction():
        store.set_meta("acl_changes", 1)
        audit.append(store, CALLER, NOW, subject="before")
        with contextlib.suppress(ConflictError), store.savepoint():
            store.set_meta("acl_changes", 2)
            audit.append(store, CALLER, NOW, subject="undone")
            raise ConflictError("no")
        assert store.meta("acl_changes") == 1
        audit.append(store, CALLER, NOW, subject="after")
    assert [row.subject for row in trail_rows.rows(store)] == ["before", "after"]
    assert trail_rows.first_broken(store) is None


def test_what_is_known_is_forgotten_when_another_connection_writes(store: Store) -> None:
    with store.transaction():
        audit.append(store, CALLER, NOW, subject="ours")
        store.set_meta("last_event", 1)
        assert (audit.head(store).seq, store.meta("last_event")) == (1, 1)
    with contextlib.closing(another(store)) as other, other.transaction():
        audit.append(other, CALLER, NOW, subject="theirs")
        other.set_meta("last_event", 2)
    assert (audit.head(store).seq, store.meta("last_event")) == (2, 2)
    with store.transaction():
        audit.append(store, CALLER, NOW, subject="ours again")
    assert trail_rows.first_broken(store) is None


def test_tables_of_few_rows_are_asked_anew_once_somebody_changed_them(store: Store) -> None:
    with store.transaction():
        note_place(store, "crl", "crl.pem", 1)
        assert last_published(store, "crl", "crl.pem") == 1
    with contextlib.closing(another(store)) as other, other.transaction():
        note_place(other, "crl", "crl.pem", 2)
        retire_issuer(other, 1, NOW)
    assert last_published(store, "crl", "crl.pem") == 2
    assert current_issuers(store) == []
    with contextlib.suppress(ConflictError), store.transaction():
        note_place(store, "crl", "crl.pem", 3)
        assert last_published(store, "crl", "crl.pem") == 3
        raise ConflictError("no")
    assert last_published(store, "crl", "crl.pem") == 2


def test_a_trigger_that_came_between_two_changes_is_dropped_too(store: Store) -> None:
    with store.transaction():
        store.set_meta("acl_changes", 1)
    write_unchecked(store, "CREATE TRIGGER spoil AFTER UPDATE ON meta BEGIN DELETE FROM meta; END")
    with store.transaction():
        store.set_meta("acl_changes", 2)
    assert store.meta("acl_changes") == 2
    assert [line for line in store.mended if "spoil" in line]


def test_a_copy_holds_what_was_committed(store: Store, tmp_path: Path) -> None:
    with store.transaction():
        add_device(store, DeviceId("kept"), "", {}, NOW)
    copy = tmp_path / "copy.db"
    copy.touch()
    store.copy_to(str(copy))
    with contextlib.closing(Store.open(str(copy), timeout_s=1, now=NOW)) as other:
        assert find_device(other, "kept")
        assert not damage_of(other, with_indexes=True)


def test_who_only_looks_writes_nothing(store: Store) -> None:
    with contextlib.closing(Store.open_to_look(store.path, timeout_s=0)) as other:
        assert count_devices(other) == 0
        with pytest.raises(BusyError):
            add_device(other, DeviceId("new"), "", {}, NOW)


# -- errors ---------------------------------------------------------------------------------------------------------

REFUSED = {
    "a value that cannot be": ("UPDATE issuer SET not_after = 'never'", PolicyError),
    "what is there already": (
        "INSERT INTO issuer SELECT 2, serial, 0, 1, der, key_file, 0, NULL FROM issuer",
        ConflictError,
    ),
    "a parent that is not there": ("INSERT INTO purge VALUES (7, 0)", PolicyError),
    "a part that is not there": ("UPDATE no_such_table SET a = 1", StateError),
    "JSON that is none": ("SELECT json_extract('{', '$.a')", StateError),
}
WAYS = (Store.rows, Store.row, lambda store, query: list(store.each_row(query)))


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("run", WAYS)
def test_every_error_is_one_of_the_program_s(store: Store, name: str, run: Callable[[Store, str], object]) -> None:
    statement, kind = REFUSED[name]
    with pytest.raises(kind) as told:
        run(store, statement)
    assert type(told.value) is kind
    assert told.value.hint


@pytest.mark.parametrize("value", [1 << 64, "\udcff"])
def test_a_parameter_that_sqlite_cannot_hold_is_refused(store: Store, value: object) -> None:
    with pytest.raises(PolicyError, match="cannot hold"):
        store.row("SELECT ?", (value,))


def test_a_wrong_call_stays_a_defect(store: Store) -> None:
    with pytest.raises(sqlite3.ProgrammingError):
        store.row("SELECT ?", ())


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "devices.db"
    path.write_bytes(b"this is no database, and long enough to be taken for one" * 100)
    with pytest.raises(StateError, match="damaged"):
        Store.open(str(path), timeout_s=0, now=NOW)


UNREADABLE = {
    "a time": "UPDATE device SET created_at = 'yesterday'",
    "an id": "UPDATE device SET device_id = '../up'",
    "attributes": "UPDATE device SET attributes = '{'",
    "nested attributes": "UPDATE device SET attributes = '" + '{"a":' * 5000 + "1" + "}" * 5000 + "'",
    "a year beyond all": "UPDATE certificate SET not_after = 9000000000000000000",
    "a serial": "UPDATE certificate SET serial = x''",
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_row_that_cannot_be_is_told_and_is_no_defect(store: Store, name: str) -> None:
    with store.transaction():
        give(store, "press", 5)
    write_unchecked(store, UNREADABLE[name])
    with pytest.raises(StateError, match="holds a row that cannot be"):
        device_record(store, "press" if name != "an id" else "../up")
    assert damage_of(store, with_indexes=True)


def test_text_that_is_not_utf_8_is_shown_as_far_as_it_goes(store: Store) -> None:
    with store.transaction():
        give(store, "press", 5)
    write_unchecked(store, "UPDATE device SET name = CAST(x'50fc4c' AS TEXT)")
    assert device_record(store, "press").name == "P\ufffdL"
    assert device_record(store, "press").certificates[0].serial == SerialNumber(5)
