"""Journals, orders and what is made under them, killed at every step; and sticks that are full or pulled out."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from support.faults import KILLED, die_at, refuse_at
from support.invariants import check_invariants, read_crls
from support.journals import read_journal
from support.orders import make_signing, production, revocation
from support.program import State

_MOST_STEPS = 500


@pytest.fixture(scope="module")
def prepared(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    """A station with two devices, that trusts an office; its orders lie beside it."""
    folder = tmp_path_factory.mktemp("station")
    state, office = pristine.copy_to(folder), make_signing()
    one, _ = state.register("a", "b")
    office.trusted_by(state, folder)
    ordered = {"revocations": (revocation(1, one["serial"], "a"),), "production": (production(2, 3),)}
    office.write(folder / "1.orders", office.orders(state, 1, production=(production(2, 3),)))
    office.write(folder / "2.orders", office.orders(state, 2, **ordered))
    return state


def copy(prepared: State, folder: Path) -> State:
    folder.mkdir()
    return prepared.copy_to(folder)


def steps(request: pytest.FixtureRequest, stride: int) -> range:
    return range(1, _MOST_STEPS, 1 if request.config.getoption("--long") else stride)


def test_a_journal_is_there_whole_or_not_at_all(
    prepared: State, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    killed = 0
    for step in steps(request, 3):
        state, stick = copy(prepared, tmp_path / str(step)), tmp_path / f"stick-{step}"
        stick.mkdir()
        done = state.run("journal", "--out", stick, before=die_at(step), expect=(0, KILLED))
        found = [read_journal(path, state.ca_cert) for path in stick.glob("*.journal")]
        if done.exit_code == 0:
            break
        killed += 1
        check_invariants(state, with_openssl=False)
        last = read_journal(Path(state.json("journal", "--out", stick)["path"]), state.ca_cert)
        assert [one.rows("device") for one in found] in ([], [last.rows("device")])
        state.run("audit", "verify")
    assert killed >= 3


def test_orders_are_taken_whole_by_the_same_command(
    prepared: State, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    orders, killed = prepared.path.parent / "2.orders", 0
    for step in steps(request, 11):
        state = copy(prepared, tmp_path / str(step))
        if state.run("order", "take", orders, before=die_at(step), expect=(0, KILLED)).exit_code == 0:
            break
        killed += 1
        listed = state.json("order", "list")
        if listed["orders"]:  # then what they order is recorded, and not only noted
            assert [one["status"] for one in listed["revocations"]] == ["recorded"]
        check_invariants(state, with_openssl=False)
        state.run("order", "take", orders)
        (crl,) = read_crls(state.crl)
        assert len(crl) == 1
        assert state.json("order", "list")["orders"] == 2
        check_invariants(state)
    assert killed >= 3


def test_what_is_made_under_an_order_is_counted_with_it(
    prepared: State, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    begun = copy(prepared, tmp_path / "begun")
    begun.run("order", "take", prepared.path.parent / "1.orders")
    begun.run("config", "set", "orders", "required")
    killed = 0
    for step in steps(request, 11):
        state = copy(begun, tmp_path / str(step))
        done = state.run("register", "n1", "n2", before=die_at(step), expect=(0, KILLED)).exit_code
        with closing(sqlite3.connect(state.path / "devices.db")) as database:
            made = dict(database.execute("SELECT production_order, made FROM production_count"))
            assert database.execute("SELECT count(*) FROM production").fetchone()[0] == sum(made.values())
            assert database.execute("SELECT count(*) FROM device WHERE device_id GLOB 'n*'").fetchone() == (
                sum(made.values()),
            )
        if done == 0:
            break
        killed += 1
        state.run("register", "n1", "n2", "n3", "--if-exists", "skip")
        assert "used up (3 of 3)" in state.run("register", "n4", expect=6).stderr
    assert killed >= 3


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_stick_that_refuses_holds_no_half_journal(prepared: State, tmp_path: Path, number: int) -> None:
    for step in range(1, 30, 4):
        state, stick = copy(prepared, tmp_path / str(step)), tmp_path / f"stick-{step}"
        stick.mkdir()
        done = state.run("journal", "--out", stick, before=refuse_at(step, number), expect=(0, 3, 8))
        for path in stick.iterdir():
            read_journal(path, state.ca_cert)
        if done.exit_code == 0:
            break
        assert state.json("journal", "--out", stick)["full"]


def test_orders_on_a_stick_that_is_pulled_out(prepared: State, tmp_path: Path) -> None:
    state, stick = copy(prepared, tmp_path / "s"), tmp_path / "stick"
    stick.mkdir()
    whole = (prepared.path.parent / "2.orders").read_bytes()
    for size in (0, 21, 300, len(whole) - 1):
        (stick / "cut.orders").write_bytes(whole[:size])
        assert "damaged" in state.run("order", "take", stick, expect=6).stderr
    (stick / "cut.orders").unlink()
    (stick / "gone.orders").symlink_to(tmp_path / "nowhere")
    (stick / "folder.orders").mkdir()
    state.run("order", "take", stick, expect=5)
    (stick / "sub").mkdir()
    (stick / "sub" / "x.orders").write_bytes(whole)
    assert state.json("order", "take", stick)["status"] == "taken"
