"""Databases of other versions and of other programs: refused untouched, or brought forward in one piece."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest
from iotonboard.store.schema import migrations

from support.earlier_versions import make_earlier_state
from support.faults import KILLED, die_at, in_turn
from support.invariants import read_crls
from support.later_version import add_tables, fail_half_way, with_migration
from support.program import State, dump_database


def edit(state: State, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as database:
        for statement in statements:
            assert database.execute(statement).rowcount > 0, statement
        database.commit()


def _later_version(state: State) -> int:
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as database:
        return database.execute("PRAGMA user_version").fetchone()[0]


@pytest.mark.parametrize("words", [("list",), ("register", "x"), ("revoke", "x", "--defer"), ("gen-crl",), ("health",)])
def test_a_newer_database_is_refused_untouched(state: State, words: tuple[str, ...]) -> None:
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as database:
        database.execute(f"PRAGMA user_version = {len(migrations.MIGRATIONS) + 1}")
    before = state.snapshot()
    result = state.run(*words, expect=3)
    assert "newer version" in result.stderr
    assert state.snapshot() == before


def test_a_foreign_database_is_refused_untouched(state: State, tmp_path: Path) -> None:
    foreign = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(foreign)) as database:
        database.execute("CREATE TABLE theirs (a)")
    before = dump_database(foreign)
    for words in (("list",), ("register", "x"), ("sync-acl",)):
        state.run(*words, env={"DATABASE_URL": f"sqlite:///{foreign}"}, expect=3)
    assert dump_database(foreign) == before


def test_a_migration_runs_once_with_its_record(state: State) -> None:
    known = len(migrations.MIGRATIONS)
    for _ in range(2):
        state.run("list", before=with_migration(add_tables))
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as database:
        assert database.execute("SELECT id FROM later").fetchall() == [(7,)]
        versions = [row[0] for row in database.execute("SELECT version FROM migration ORDER BY version")]
    assert versions == list(range(1, known + 2))


def test_a_migration_that_fails_is_rolled_back_whole(state: State) -> None:
    before = dump_database(state.path / "devices.db")
    state.run("list", before=with_migration(fail_half_way), expect=3)
    assert dump_database(state.path / "devices.db") == before
    state.run("list")


def test_a_migration_killed_at_every_step_is_rolled_back_or_done(state: State, tmp_path: Path) -> None:
    known, killed = len(migrations.MIGRATIONS), 0
    for step in range(1, 40):
        (tmp_path / str(step)).mkdir()
        copy = state.copy_to(tmp_path / str(step))
        result = copy.run("list", before=in_turn(with_migration(add_tables), die_at(step)), expect=(0, KILLED))
        if result.exit_code != KILLED:
            break
        killed += 1
        assert _later_version(copy) in (known, known + 1)
        copy.run("register", "x", before=with_migration(add_tables))
        assert _later_version(copy) == known + 1
    assert killed >= 4


@pytest.fixture
def state_v1(tmp_path: Path) -> State:
    return make_earlier_state(1, tmp_path)


@pytest.fixture(params=range(1, len(migrations.MIGRATIONS)))
def earlier_state(request: pytest.FixtureRequest, tmp_path: Path) -> State:
    return make_earlier_state(request.param, tmp_path)


def _tables(database: sqlite3.Connection) -> list[tuple[str, str]]:
    return database.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()


def test_the_schema_of_an_earlier_version_is_never_edited(earlier_state: State) -> None:
    """A change of the schema is a new migration."""
    with (
        contextlib.closing(sqlite3.connect(":memory:")) as made,
        contextlib.closing(sqlite3.connect(earlier_state.path / "devices.db")) as kept,
    ):
        for migration in migrations.MIGRATIONS[: _later_version(earlier_state)]:
            migration.make_tables(made, 0)
        assert _tables(made) == _tables(kept)


def test_bringing_version_1_forward_is_done_whole_or_not_at_all(state_v1: State, tmp_path: Path) -> None:
    """Killed at every statement; what somebody broke in it is set aside each time."""
    edit(state_v1, "UPDATE device SET created_at = 'yesterday' WHERE id = 1")
    known, before, killed = len(migrations.MIGRATIONS), dump_database(state_v1.path / "devices.db"), 0
    for step in range(1, 150):
        (tmp_path / str(step)).mkdir()
        copy = state_v1.copy_to(tmp_path / str(step))
        if copy.run("list", before=die_at(step), expect=(0, KILLED)).exit_code != KILLED:
            break
        killed += 1
        assert _later_version(copy) > 1 or dump_database(copy.path / "devices.db") == before
        assert "press-5" in copy.run("list").stdout
        assert _later_version(copy) == known
        shutil.rmtree(copy.path.parent)
    assert killed >= 30


def test_what_cannot_be_is_named_and_stands_in_nobody_s_way(state_v1: State) -> None:
    edit(
        state_v1,
        "UPDATE device SET attributes = x'00' WHERE device_id = 'press-5'",
        "UPDATE certificate SET not_after = -9000000000000 WHERE device = 2",
        "UPDATE revocation SET reason = 'because' WHERE certificate = 3",
        "UPDATE topic SET access = 17",
        "UPDATE meta SET value = 'now' WHERE key = 'last_event'",
    )
    state_v1.run("accept-clock")
    (found,) = state_v1.run("health", "--check", "set-aside", "--json", expect=9).json["checks"]
    named = ("device 5 of 'press-5'", "certificate 2 of 'press-2'", "revocation 3 of 'press-3'", "topic", "last_event")
    assert [word for word in named if word not in found["message"]] == []
    assert found["hint"].endswith("iotonboard health --repair")
    statuses = {one["device_id"]: one["status"] for one in state_v1.run("list", "--json").json_lines}
    assert statuses["press-2"] == statuses["press-3"] == "revoked"
    state_v1.run("renew", "press-5")
    state_v1.register("press-6")
    state_v1.run("revoke", "press-1", "press-5")
    shown = [state_v1.json("show", name)["certificates"] for name in ("press-1", "press-2", "press-3", "press-5")]
    (crl,) = read_crls(state_v1.crl)
    assert {f"{entry.serial_number:X}" for entry in crl} >= {one["serial"] for each in shown for one in each}
    state_v1.run("health", "--repair", expect=9)  # only a backup knows what the rows said
    assert state_v1.run("health", "--check", "set-aside", "--json").json["checks"][0]["status"] == "ok"
    state_v1.run("audit", "verify")
    kinds = {one["kind"] for one in state_v1.run("health", "--deep", "--json", expect=9).json["differences"]}
    assert kinds == {"edited-row"}


def test_a_state_of_an_earlier_version_goes_on(earlier_state: State) -> None:
    earlier_state.run("accept-clock")  # it was made long ago
    listed = {one["device_id"]: one["status"] for one in earlier_state.run("list", "--json").json_lines}
    assert listed == {
        "press-1": "active",
        "press-2": "revoked",
        "press-3": "on-hold",
        "press-4": "active",
        "press-5": "active",
    }
    shown = earlier_state.json("show", "press-1")
    assert (shown["name"], shown["attributes"]) == ("first", {"line": "4"})
    assert [one["reason"] for one in earlier_state.json("show", "press-2")["certificates"]] == ["keyCompromise"]
    assert earlier_state.json("gen-crl")["crl_number"] > 3
    assert "topic read plant/config" in earlier_state.acl.read_text()
    earlier_state.run("health", "--repair")
    earlier_state.run("health", "--deep")
    earlier_state.run("audit", "verify")
    earlier_state.register("press-6")
    earlier_state.run("revoke", "press-1")
