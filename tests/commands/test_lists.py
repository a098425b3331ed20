"""Every verb that takes ids takes a list: good rows are done, the others are named, and the exit code is never 0."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.program import State

LIST = "Device ID;remark\r\npress-1;A\r\n;B\r\npress-2;C\r\npress-404;D\r\n"


@pytest.fixture
def fleet(state: State) -> State:
    state.register("press-1", "press-2", "press-3")
    return state


VERBS = ["show", "renew", "revoke", "retire", "confirm", "purge", "deliver", "bundle password", "topics list"]


@pytest.mark.parametrize("verb", [*VERBS, "topics add read:plant/x", "export --out {out}", "deliver --to {out}"])
def test_good_rows_are_done_and_the_others_named(fleet: State, tmp_path: Path, verb: str) -> None:
    (tmp_path / "out").mkdir()
    words = verb.format(out=tmp_path / "out").split()
    result = fleet.run(*words, "--batch", "-", "--json", input=LIST, expect=6)
    done = [one["device_id"] for one in result.json_lines if "error" not in one]
    assert done == ["press-1", "press-2"]
    assert "line 3: this row names no device" in result.stderr
    assert "line 5: " in result.stderr


def test_a_hold_is_released_by_a_list(fleet: State) -> None:
    fleet.run("revoke", "press-1", "press-2", "--reason", "certificateHold")
    result = fleet.run("release", "--batch", "-", "--json", input="press-1\npress-3\npress-2\n", expect=6)
    assert [one["device_id"] for one in result.json_lines if "error" not in one] == ["press-1", "press-2"]
    assert "line 2: device 'press-3' is not on hold" in result.stderr
    assert fleet.json("gen-crl")["revoked"] == 0


def test_a_list_is_judged_and_labelled(fleet: State, tmp_path: Path) -> None:
    verified = fleet.run("verify", "--batch", "-", "--json", input=LIST, expect=(6, 9))
    assert [one["device_id"] for one in verified.json["devices"]] == ["press-1", "press-2"]
    out = tmp_path / "labels.svg"
    assert fleet.run("labels", "--batch", "-", "--json", "--out", out, input=LIST, expect=6).json["labels"] == 2


def test_a_status_of_the_plants_own_spares_nobody(fleet: State) -> None:
    fleet.run("revoke", "--batch", "-", input="device_id,status\r\npress-1,failed\r\npress-2,broken\r\n")
    states = {one["device_id"]: one["status"] for one in fleet.run("list", "--json").json_lines}
    assert states == {"press-1": "revoked", "press-2": "revoked", "press-3": "active"}


def test_an_id_that_may_be_cut_off_is_not_revoked(fleet: State) -> None:
    result = fleet.run("revoke", "--batch", "-", input="press-2\npress-1", expect=6)
    assert "no end" in result.stderr
    assert fleet.json("show", "press-1")["status"] == "active"
    assert fleet.json("show", "press-2")["status"] == "revoked"


@pytest.mark.parametrize("verb", [*VERBS, "release", "verify", "labels"])
def test_a_column_of_a_list_needs_a_list(state: State, verb: str) -> None:
    state.run(*verb.split(), "a", "--id-column", "x", expect=2)
