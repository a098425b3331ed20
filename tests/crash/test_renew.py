"""A renewal of many that is killed: the same call again goes on, renews nothing twice, and every password is kept."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from support.faults import KILLED, die_at
from support.program import State

NAMES = [f"press-{number}" for number in range(1, 6)]


def passwords_in(path: Path) -> dict[str, str]:
    with path.open(newline="") as file:
        return {row["serial"]: row["bundle_password"] for row in csv.DictReader(file)}


@pytest.mark.parametrize("choice", [("--expiring-within", "30"), ("--batch", "{list}")])
def test_a_killed_renewal_is_completed_by_the_same_command(
    state: State, tmp_path: Path, choice: tuple[str, ...]
) -> None:
    state.run("register", *NAMES, "--validity-days", "10")
    (tmp_path / "list").write_text("\n".join(NAMES) + "\n")
    passwords, results = tmp_path / "p.csv", tmp_path / "r.csv"
    words = ("renew", *(word.format(list=tmp_path / "list") for word in choice), "--passwords", passwords)
    words = (*words, "--results", results, "--json")
    before = {name: state.json("show", name)["serial"] for name in NAMES}
    recorded: dict[str, str] = {}
    for step in range(8, 250, 14):
        if state.run(*words, before=die_at(step), expect=(0, KILLED)).exit_code == 0:
            break
        now = {name: state.json("show", name)["serial"] for name in NAMES}
        recorded = recorded or {name: now[name] for name in NAMES if now[name] != before[name]}
        assert not recorded or now == recorded, "nothing is renewed twice"
    else:
        pytest.fail("it never came to its end")
    assert recorded, "none was killed behind its first commit"
    shown = {name: state.json("show", name) for name in NAMES}
    assert all(len(one["certificates"]) == 2 for one in shown.values())
    kept = passwords_in(passwords)
    for name, one in shown.items():
        assert kept[one["serial"]] == state.json("bundle", "password", name)["bundle_password"]
        assert results.read_text().count(one["serial"]) == 1
    again = state.run(*words).json_lines
    assert [one["status"] for one in again] == ([] if "--batch" not in words else ["renewed"] * 5), "it had ended"
