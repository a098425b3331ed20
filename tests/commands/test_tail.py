"""What was added to the trail without the passphrase is shown before it is sealed; what a head on paper finds."""

from __future__ import annotations

import os
import pwd
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from support.earlier_versions import make_earlier_state
from support.program import State
from support.tampering import edit, serials_on_list

_WARNING = "of the trail, added without the passphrase since the CA signed it last"


@pytest.fixture
def tailed(state: State) -> State:
    """Three rows that nobody with the passphrase saw."""
    state.register("a", "b")
    keyless = {"IOTONBOARD_PASSPHRASE_FILE": None}
    state.run("revoke", "a", "--defer", env=keyless)
    state.run("topics", "add", "b", "read:line/1", env=keyless)
    return state


def test_whoever_unlocks_is_told_before_the_rows_are_sealed(tailed: State) -> None:
    shown = tailed.run("audit", "show", "--unsealed", "--json").json_lines
    counts = {verb: sum(row["verb"] == verb for row in shown) for verb in ("revoke", "topics add")}
    assert {row["subject"] for row in shown} >= {"a", "b"}
    assert all(counts.values())
    words = f"{len(shown)} rows (revoke {counts['revoke']}, topics add {counts['topics add']})"
    (finding,) = tailed.json("health", "--check", "audit")["checks"]
    assert "were added without the passphrase" in finding["message"]
    told = tailed.run("register", "c").stderr
    assert f"{words} {_WARNING}" in told
    assert "audit show --unsealed" in told
    assert tailed.run("audit", "show", "--unsealed", "--json").stdout == ""
    assert _WARNING not in tailed.run("register", "d").stderr


def test_nobody_is_told_who_needs_no_passphrase(tailed: State) -> None:
    assert _WARNING not in tailed.run("list").stderr


def test_a_deferred_revocation_prints_the_head_to_write_down(state: State) -> None:
    state.register("a")
    told = state.run("revoke", "a", "--defer")
    head = state.json("audit", "head")["head"]
    assert f"write down the head of the trail: {head}" in told.stderr
    state.run("audit", "verify", "--head", head)


def test_an_older_head_tells_what_was_added_and_what_was_lost(state: State) -> None:
    state.register("a")
    old = state.json("audit", "head")["head"]
    state.run("revoke", "a", "--defer")
    added = state.json("audit", "verify", "--head", old)["added"]
    assert list(added) == ["revoke"]
    new = state.json("audit", "head")["head"]
    number, known = int(new.partition(":")[0]), int(old.partition(":")[0])
    edit(state, lambda connection: connection.execute("DELETE FROM audit WHERE seq > ?", (known,)))
    lost = state.run("audit", "verify", "--head", new, "--json", expect=9).json
    assert lost["lost"] == number - known
    assert f"rows {known + 1} to {number} are lost" in lost["problem"]
    state.run("revoke", "a", "--reason", "keyCompromise", "--defer", expect=(0, 8))
    rewritten = state.run("audit", "verify", "--head", new, "--json", expect=9).json
    assert "others stand in their place" in rewritten["problem"]


@pytest.mark.parametrize("version", [1, 2])
def test_what_an_earlier_version_left_is_shown_and_sealed_by_the_first_command_with_the_key(
    version: int, tmp_path: Path
) -> None:
    state = make_earlier_state(version, tmp_path)
    first = state.run("register", "new", "--no-bundle").stderr
    assert "what an earlier version left is sealed as it stands, by rows: issuer " in first
    assert "device 5" in first
    (row,) = [row for row in state.run("audit", "show", "--all", "--json").json_lines if "checkpoint" in row["detail"]]
    assert row["detail"]["checkpoint"]["device"] == 5
    assert "what an earlier version left" not in state.run("register", "newer", "--no-bundle").stderr
    edit(state, "UPDATE device SET name = 'x' WHERE device_id = 'press-1'")
    differences = state.run("health", "--deep", "--json", expect=9).json["differences"]
    assert any(one["subject"] == "press-1" and "as the trail says" in one["message"] for one in differences)


OTHERS = {
    "view": "CREATE VIEW mine AS SELECT 1",
    "index": "CREATE INDEX mine ON device (name)",
    "unique index": "CREATE UNIQUE INDEX mine ON revocation (certificate)",
    "table": "CREATE TABLE mine (a)",
    "virtual table": "CREATE VIRTUAL TABLE mine USING rtree(id, low, high)",
    "view in place of one": "DROP VIEW device_status; CREATE VIEW device_status AS SELECT * FROM device WHERE 0",
}


@pytest.mark.parametrize("name", OTHERS)
def test_foreign_objects_of_the_schema_fail_a_check_and_stop_no_revocation(state: State, name: str) -> None:
    (serial,) = (one["serial"] for one in state.register("a"))
    edit(state, OTHERS[name])
    (finding,) = state.run("health", "--check", "schema", "--json", expect=9).json["checks"]
    assert finding["status"] == "failed"
    state.run("revoke", "a")
    assert serial in serials_on_list(state)


def test_a_foreign_trigger_is_dropped_and_told(state: State) -> None:
    (serial,) = (one["serial"] for one in state.register("a"))
    edit(state, "CREATE TRIGGER mine AFTER INSERT ON revocation BEGIN DELETE FROM revocation; END")
    state.run("health", "--check", "schema", expect=9)
    assert "dropped the trigger 'mine'" in state.run("revoke", "a").stderr
    assert serial in serials_on_list(state)
    (row,) = state.run("audit", "show", "--subject", "database", "--json").json_lines
    assert "trigger 'mine'" in row["detail"]["mended"][0]
    with closing(sqlite3.connect(state.path / "devices.db")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall() == []


def test_the_operator_is_who_the_system_says(state: State) -> None:
    environment = {"SUDO_USER": "somebody", "USER": "nobody", "LOGNAME": "nobody"}
    state.run("register", "a", "--no-bundle", env=environment)
    row = state.run("audit", "show", "--command", "register", "--json").json_lines[0]
    uid = os.getuid()
    assert row["operator"] == f"{pwd.getpwuid(uid).pw_name} (uid {uid}) SUDO_USER somebody"
