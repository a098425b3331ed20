"""A registration of many that is killed: the same command again completes it, and nothing is done twice."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.faults import KILLED, die_at
from support.program import State

NAMES = [f"press-{number}" for number in range(1, 6)]
KEPT = ("--passwords", "{folder}/p.csv", "--results", "{folder}/r.jsonl")
CALLS = {
    "a list": ("--batch", "{folder}/list", *KEPT),
    "a list that says skip": ("--batch", "{folder}/list", "--if-exists", "skip", *KEPT),
    "a list of new certificates": ("--batch", "{folder}/list", "--if-exists", "reissue", *KEPT),
    "a list without ids": ("--batch", "{folder}/places", "--uuid", *KEPT),
    "names": (*NAMES, *KEPT),
    "a number": ("--count", "5", *KEPT),
}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def run_until_it_ends(state: State, words: Sequence[object]) -> int:
    """Run a command again and again, killed at one step after the other; says in how many runs it recorded devices."""
    behind_a_commit = 0
    for step in range(20, 600, 37):
        result = state.run("register", *words, before=die_at(step), expect=(0, KILLED))
        if result.exit_code == 0:
            return behind_a_commit
        behind_a_commit += bool(state.run("list", "--json").json_lines)
    raise AssertionError("it never came to its end")


@pytest.mark.parametrize("call", CALLS)
def test_a_killed_registration_is_completed_by_the_same_command(state: State, tmp_path: Path, call: str) -> None:
    (tmp_path / "list").write_text("\n".join(NAMES) + "\n")
    (tmp_path / "places").write_text("place\n" + "".join(f"hall {number}\n" for number in range(1, 6)))
    is_reissue = "reissue" in CALLS[call]
    if is_reissue:
        state.register(*NAMES)
    words = [word.format(folder=tmp_path) for word in CALLS[call]]
    assert run_until_it_ends(state, words) > 1
    ids = "".join(f"{one['device_id']}\n" for one in state.run("list", "--json").json_lines)
    shown = state.run("show", "--batch", "-", "--json", input=ids).json_lines
    assert len(shown) == 5
    assert {len(one["certificates"]) for one in shown} == {2 if is_reissue else 1}, "nothing is done twice"
    passwords = {row["serial"]: row["bundle_password"] for row in rows_of(tmp_path / "p.csv")}
    results = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert sorted(row["serial"] for row in results) == sorted(one["serial"] for one in shown)
    for one in state.run("bundle", "password", "--batch", "-", "--json", input=ids).json_lines:
        assert passwords[one["serial"]] == one["bundle_password"]


def test_a_call_that_came_to_its_end_is_made_anew(state: State, tmp_path: Path) -> None:
    words = ("register", "--batch", "-", "--if-exists", "reissue", "--json")
    for _ in range(2):
        assert state.run(*words, input="a\nb\n").json_lines[0]["status"] in ("created", "reissued")
    assert len(state.json("show", "a")["certificates"]) == 2
    count = ("register", "--count", "2", "--passwords", tmp_path / "p.csv", "--json")
    for _ in range(2):
        assert [one["status"] for one in state.run(*count).json_lines] == ["created", "created"]


def test_what_another_command_registered_meanwhile_is_a_conflict(state: State, tmp_path: Path) -> None:
    """Only what the broken call made itself counts as done by it."""
    (tmp_path / "list").write_text("\n".join(NAMES) + "\n")
    words = ("register", "--batch", tmp_path / "list", "--strict")
    state.register("press-3")
    state.run(*words, expect=6)
    state.register("press-4")
    result = state.run("register", "--batch", tmp_path / "list", "--json", expect=6)
    assert [one.get("status") for one in result.json_lines if "serial" in one] == ["skipped", "skipped", "created"]
    assert "2 of its devices are left as they are" in result.stderr
    assert "line 3: device 'press-3' exists already" in result.stderr
    assert "line 4: device 'press-4' exists already" in result.stderr


def test_a_revoked_device_is_not_reissued_by_a_call_that_goes_on(state: State, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("press-1\nbad id\npress-2\n")
    state.register("press-1")
    words = ("register", "--batch", tmp_path / "list", "--if-exists", "reissue")
    state.run(*words, "--strict", expect=6)
    state.run("revoke", "press-1", "--reason", "keyCompromise")
    state.run(*words, expect=6)
    assert state.json("show", "press-1")["status"] == "revoked"
    assert state.json("show", "press-2")["status"] == "active"
