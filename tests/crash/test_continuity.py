"""A CRL never forgets: whatever happens to the rows behind it."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from support.clock import fake_time
from support.copies import listed, put_back
from support.program import State

TAMPERINGS = {
    "all revocations deleted": "DELETE FROM revocation",
    "one revocation deleted": "DELETE FROM revocation WHERE certificate = 1",
    "expiry moved into the past": "UPDATE revocation SET not_after = 1 WHERE certificate = 1",
    "both expiries moved": "UPDATE certificate SET not_before = 0, not_after = 1; UPDATE revocation SET not_after = 1",
    "entry of another serial": "UPDATE revocation SET entry_der = (SELECT entry_der FROM revocation"
    " WHERE certificate = 2) WHERE certificate = 1",
    "certificate deleted": "DELETE FROM revocation; DELETE FROM pending; DELETE FROM certificate",
    "number lowered": "UPDATE crl SET number = 1 WHERE number = (SELECT max(number) FROM crl) - 1;"
    " UPDATE crl SET number = number + 5",
    "last CRL emptied": "UPDATE crl SET der = NULL",
    "thisUpdate moved": "UPDATE crl SET this_update = this_update - 9",
}


def _edit(state: State, script: str) -> None:
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as database:
        database.executescript(script)


@pytest.fixture(scope="module")
def revoked(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    state = pristine.copy_to(tmp_path_factory.mktemp("revoked"))
    state.register("a", "b", "c")
    state.run("revoke", "a", "b")
    return state


@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_crl_that_forgets_is_refused(revoked: State, tmp_path: Path, name: str) -> None:
    state = revoked.copy_to(tmp_path)
    _edit(state, TAMPERINGS[name])
    published = state.crl.read_bytes()
    result = state.run("gen-crl", expect=4)
    assert "iotonboard: hint: " in result.stderr
    assert state.crl.read_bytes() == published


def test_a_last_crl_that_nobody_signed_is_refused(revoked: State, tmp_path: Path) -> None:
    """Whoever cuts an entry out of the stored list cannot sign the rest."""
    state = revoked.copy_to(tmp_path)
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as database, database:
        row, der = database.execute("SELECT id, der FROM crl ORDER BY id DESC LIMIT 1").fetchone()
        forged = der[:-1] + bytes([der[-1] ^ 1])
        database.execute("UPDATE crl SET der = ? WHERE id = ?", (forged, row))
    published = state.crl.read_bytes()
    assert "is not the one that was signed" in state.run("gen-crl", expect=4).stderr
    assert state.crl.read_bytes() == published


@pytest.mark.parametrize("lost", ["", " WHERE number = (SELECT max(number) FROM crl)"])
def test_the_number_of_a_crl_that_the_database_forgot_is_not_used_again(
    revoked: State, tmp_path: Path, lost: str
) -> None:
    """What was published says which numbers were used, and what is revoked."""
    state = revoked.copy_to(tmp_path)
    published = listed(state)
    _edit(state, f"DELETE FROM crl{lost}")  # noqa: S608
    state.run("gen-crl")
    following = listed(state)
    assert following == (published[0] + 1, published[1])
    assert "another copy of this state" in state.run("register", "d", expect=4).stderr


def test_an_older_database_takes_up_what_was_revoked_since(revoked: State, tmp_path: Path) -> None:
    state = revoked.copy_to(tmp_path)
    older = tmp_path / "older.db"
    shutil.copy(state.path / "devices.db", older)
    state.run("revoke", "c")
    published = listed(state)
    put_back(state, older)
    result = state.run("gen-crl")
    assert "another copy of this state" in result.stderr
    following = listed(state)
    assert following == (published[0] + 1, published[1])
    assert state.json("show", "c")["status"] == "revoked"
    assert "iotonboard restore --crl" in state.run("register", "d", expect=4).stderr


def test_ordinary_changes_are_not_refused(revoked: State, tmp_path: Path) -> None:
    state = revoked.copy_to(tmp_path)
    for words in (("gen-crl",), ("revoke", "c"), ("register", "a", "--if-exists", "reissue"), ("gen-crl",)):
        state.run(*words)


def test_what_was_on_hold_may_leave_the_list(revoked: State, tmp_path: Path) -> None:
    state = revoked.copy_to(tmp_path)
    state.run("revoke", "c", "--reason", "certificateHold")
    assert state.json("gen-crl")["revoked"] == 3
    state.run("release", "c")
    assert state.json("gen-crl")["revoked"] == 2


def test_an_expired_revocation_leaves_after_one_more_crl(pristine: State, tmp_path: Path) -> None:
    state = pristine.copy_to(tmp_path)
    state.register("short", "long")
    state.run("revoke", "short", "long")
    assert state.json("gen-crl")["revoked"] == 2
    # Two certificates of a year: the clock moves past their end, as far as the clock guard allows.
    on_one_more = state.json("gen-crl", env=fake_time("+366d"))
    assert on_one_more["revoked"] == 2  # on one CRL after the expiry (RFC 5280 3.3)
    assert state.json("gen-crl", env=fake_time("+367d"))["revoked"] == 0
