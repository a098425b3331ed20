"""The CRLs of a state in this process, by a clock that the test sets: numbers, times, what is listed, what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from iotonboard.ca.authority import unlock
from iotonboard.ca.carry_out import publish_signed, sign_waiting
from iotonboard.ca.crl import check_published, sign_recorded
from iotonboard.ca.crl_calendar import load_calendar, new_calendar, save_calendar
from iotonboard.ca.passphrase import parse_passphrase_file
from iotonboard.errors import BusyError, ConflictError, StateError
from iotonboard.model import Caller
from iotonboard.pki.crl import check_crl, revoked_entries
from iotonboard.pki.pem import pem_encode
from iotonboard.state.state import State, open_state
from iotonboard.store.crls import CrlRow, crl_generation
from iotonboard.store.issuers import current_issuers

from support import program

BEGIN = datetime.now(UTC).replace(microsecond=0)
DAY, MINUTE, SECOND = timedelta(days=1), timedelta(minutes=1), timedelta(seconds=1)
FAR_AHEAD = {"IOTONBOARD_MAX_CLOCK_JUMP_DAYS": "3650", "IOTONBOARD_GENERATIONS_KEPT": "2"}


@dataclass
class Plant:
    """A state whose clock is set by hand."""

    made: program.State
    now: datetime = BEGIN + 5 * SECOND

    @contextmanager
    def opened(self) -> Iterator[State]:
        with open_state(str(self.made.path), FAR_AHEAD, Caller("t", "t", "t"), lambda: self.now) as state:
            yield state

    def sign(self, *, days: int | None = None) -> list[CrlRow]:
        passphrase = parse_passphrase_file(self.made.passphrase_file.read_bytes())
        with self.opened() as state:
            return sign_recorded(state, unlock(state, passphrase), next_update_days=days)

    def kept_numbers(self) -> list[int]:
        """Numbers of the CRLs whose octets the database has."""
        with self.opened() as state:
            return [
                number for (number,) in state.store.rows("SELECT number FROM crl WHERE der IS NOT NULL ORDER BY id")
            ]

    def round(self) -> int:
        with self.opened() as state:
            calendar = load_calendar(state.store)
            return calendar.round if calendar else 0

    def keep_calendar(self, count: int, every_days: int) -> None:
        with self.opened() as state, state.transaction() as now:
            save_calendar(state.store, new_calendar(count, every_days, now, max_days=180) if count else None)


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(program.make_state(tmp_path))


def test_numbers_and_generations_go_up_by_one(plant: Plant) -> None:
    (first,), (second,) = plant.sign(), plant.sign()
    assert (first.number, first.generation) == (2, 2)  # behind that of 'init-ca'
    assert (second.number, second.generation) == (3, 3)
    assert second.this_update == first.this_update + SECOND
    assert second.next_update == plant.now + 30 * DAY
    (other,) = plant.sign(days=3)
    assert other.next_update == plant.now + 3 * DAY
    with plant.opened() as state:
        assert check_crl(other.der or b"", current_issuers(state.store)[0].der).number == 4


def test_so_many_crls_that_the_next_would_begin_in_the_future(plant: Plant) -> None:
    """Each begins a second behind the one before; the first is backdated by the skew, here of a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FAR_AHEAD, "IOTONBOARD_NOT_BEFORE_SKEW_MINUTES", "1")
        plant.now = BEGIN + 3 * DAY
        begun = plant.sign()[0].this_update
        assert begun == plant.now - MINUTE
        for number in range(1, 61):
            assert plant.sign()[0].this_update == begun + number * SECOND
        with pytest.raises(BusyError, match="future"):
            plant.sign()
        plant.now += SECOND
        plant.sign()


def test_a_new_generation_replaces_a_whole_calendar(plant: Plant) -> None:
    plant.keep_calendar(3, 7)
    first = plant.sign()
    assert [row.number for row in first] == [2, 3, 4]
    assert {row.generation for row in first} == {2}
    assert plant.round() == 1
    plant.now += 8 * DAY
    again = plant.sign()
    assert [row.number for row in again] == [5, 6, 7]
    # In force was the second list, which has begun a day ago: the new one is newer than that, and than the first.
    assert first[1].this_update < again[0].this_update <= plant.now
    assert [row.this_update - plant.now for row in again[1:]] == [6 * DAY + SECOND, 13 * DAY + SECOND]
    plant.keep_calendar(0, 0)
    (only,) = plant.sign()
    assert (only.number, only.generation) == (8, 4)
    assert again[0].this_update < only.this_update < again[1].this_update


def test_an_expired_certificate_leaves_after_it_was_on_a_crl_of_its_last_days(plant: Plant) -> None:
    """RFC 5280 3.3: it appears on one regularly scheduled CRL issued beyond its validity."""
    plant.made.run("register", "press-1", "--validity-days", "10")
    plant.made.run("revoke", "press-1", "--defer")
    assert [row.revoked for row in plant.sign()] == [1]
    plant.now = BEGIN + 11 * DAY
    (beyond,) = plant.sign()
    assert len(list(revoked_entries(beyond.der or b""))) == beyond.revoked == 1
    plant.now += DAY
    assert [row.revoked for row in plant.sign()] == [0]


def test_the_octets_of_as_many_generations_are_kept_as_the_settings_say(plant: Plant) -> None:
    for _ in range(3):
        plant.sign()
    assert plant.kept_numbers() == [3, 4]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FAR_AHEAD, "IOTONBOARD_GENERATIONS_KEPT", "0")
        plant.sign()
    assert plant.kept_numbers() == [5]  # what is published is kept in any case


def test_what_was_published_is_read_back(plant: Plant) -> None:
    passphrase = parse_passphrase_file(plant.made.passphrase_file.read_bytes())
    with plant.opened() as state:

        def sign_and_publish() -> list[CrlRow]:
            signed, unsigned = sign_waiting(state, lambda: unlock(state, passphrase))
            assert unsigned + publish_signed(state, signed) == []
            return signed

        rows = sign_and_publish()
        check_published(state, rows)
        older = plant.made.crl.read_bytes()
        newer = sign_and_publish()
        check_published(state, rows)  # another process has published a newer one by now
        plant.made.crl.write_bytes(older)
        with pytest.raises(StateError, match="not what was signed"):
            check_published(state, newer)
        (last,) = crl_generation(state.store)
        twice = 2 * pem_encode("X509 CRL", last.der or b"")
        plant.made.crl.write_bytes(twice)
        with pytest.raises(StateError, match="not what was signed"):
            check_published(state, newer)


def test_a_list_that_was_deleted_from_the_database_is_missed(plant: Plant) -> None:
    plant.made.register("press-1")
    plant.made.run("revoke", "press-1")
    with plant.opened() as state, state.transaction():
        state.store.execute("DELETE FROM revocation")
    with pytest.raises(ConflictError, match="would lack the revoked serial"):
        plant.sign()
