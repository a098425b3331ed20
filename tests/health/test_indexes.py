"""An index that disagrees with its table: told, built anew, and in nobody's way who revokes."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from support.program import State

_NAME = b"press-1"


def _flip_in_index(state: State) -> None:
    """Change one bit of a device's name where only the index of the names has it."""
    path = state.path / "devices.db"
    whole, at = path.read_bytes(), -1
    while (at := whole.find(_NAME, at + 1)) >= 0:
        damaged = bytearray(whole)
        damaged[at + len(_NAME) - 1] ^= 1
        path.write_bytes(damaged)
        with closing(sqlite3.connect(path)) as database:
            stored = database.execute("SELECT 1 FROM device NOT INDEXED WHERE device_id = 'press-1'").fetchone()
            found = database.execute("SELECT 1 FROM device WHERE device_id = 'press-1'").fetchone()
        if stored and not found:
            return
    pytest.fail("no index holds the name")


def test_a_flipped_bit_hides_no_device_and_is_repaired(state: State) -> None:
    state.register("press-1", "press-2")
    _flip_in_index(state)
    assert "database" in state.run("health", expect=9).stdout
    assert "index" in state.run("health", "--deep", expect=9).stdout
    done = state.run("revoke", "press-1")
    assert "health --repair" in done.stderr
    state.run("health", "--repair")
    assert state.run("health", "--deep").stdout == "everything is as it was recorded\n"
    assert state.json("show", "press-1")["status"] == "revoked"
