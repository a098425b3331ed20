"""On a real pseudo-terminal: tables fit, nothing is cut, colour never stands alone, passphrases are not shown."""

from __future__ import annotations

import os
import re
import sys

import pytest

from support.program import State
from support.terminal import on_terminal

LONG_ID = "a-rather-long-device-name." + "x" * 38


@pytest.fixture
def fleet(state: State) -> State:
    state.register(LONG_ID, "press-17", "oven-4")
    state.run("revoke", "oven-4")
    return state


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
@pytest.mark.parametrize("columns", [80, 200])
def test_tables_fit_and_nothing_is_cut(fleet: State, columns: int) -> None:
    fleet.run("renew", "press-17")
    for words in (("list",), ("health",), ("config", "show"), ("audit", "show"), ("show", "press-17"),
                  ("health", "--list"), ("ca", "status")):  # fmt: skip
        raw, lines, code = on_terminal(fleet, *words, columns=columns)
        assert code == 0, raw
        text = re.sub(r"\x1b\[[0-9;]*m", "", raw)
        assert max(len(line) for line in text.splitlines()) <= columns, words
        assert "…" not in text
    raw, lines, _ = on_terminal(fleet, "list", columns=columns)
    assert lines[0].split() == ["DEVICE", "STATUS", "NOT", "AFTER", "NAME"]
    column = "".join(line[: lines[0].index("STATUS")].strip() for line in lines[1:])
    assert LONG_ID in column, "an id was cut"


def test_colour_repeats_words_and_can_be_switched_off(fleet: State) -> None:
    coloured, _, _ = on_terminal(fleet, "list")
    assert "\x1b[3" in coloured
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        bare, lines, _ = on_terminal(fleet, "list", env=env)
        assert not re.search(r"\x1b\[3[0-9]", bare)
        assert [line for line in lines if "oven-4" in line and "revoked" in line]
    assert "\x1b[31mrevoked (unspecified)" in on_terminal(fleet, "show", "oven-4", columns=120)[0]
    plain, _, _ = on_terminal(fleet, "list", "--plain")
    assert "\x1b" not in plain
    assert "oven-4\trevoked\t" in plain


def test_hostile_names_stay_text(state: State) -> None:
    state.run("register", "x", "--set", "note=[red]boo[/red]", "--name", "[bold]n[/bold]")
    _, lines, _ = on_terminal(state, "list", columns=120)
    assert any("[bold]n[/bold]" in line for line in lines)


def test_the_passphrase_is_asked_for_and_not_shown(state: State) -> None:
    secret = state.passphrase_file.read_text().strip()
    env = {"IOTONBOARD_PASSPHRASE_FILE": None}
    raw, _, code = on_terminal(state, "register", "asked", answers=[secret], env=env)
    assert code == 0, raw
    assert secret not in raw
    assert "asked" in raw
    raw, _, code = on_terminal(state, "register", "wrong", answers=["guess"], env=env)
    assert code == 7
    assert "hint" in raw


def test_a_new_passphrase_is_asked_for_twice(state: State, tmp_path: os.PathLike[str]) -> None:
    env = {"IOTONBOARD_PASSPHRASE_FILE": None, "IOTONBOARD_STATE": str(tmp_path) + "/new"}
    raw, _, code = on_terminal(state, "init-ca", answers=["one two three four", "one two three five"], env=env)
    assert code == 2, raw
    assert not os.path.exists(str(tmp_path) + "/new/certs/ca.key")
    raw, _, code = on_terminal(state, "init-ca", answers=["one two three four"] * 2, env=env)
    assert code == 0, raw
    assert "one two" not in raw


def test_a_stolen_ca_is_replaced_when_a_person_says_so(state: State) -> None:
    """A script is not asked, nor is a person who says ``--yes``."""
    state.register("press-1")
    words = ("ca", "replace", "--compromised")
    raw, _, code = on_terminal(state, *words, answers=["no"], columns=200)
    assert "Revoke everything that the CA" in raw
    assert code == 2
    assert state.json("show", "press-1")["status"] == "active"
    raw, _, code = on_terminal(state, *words, answers=["yes"], columns=200)
    assert code == 0, raw
    assert state.json("show", "press-1")["status"] == "revoked"
    raw, _, code = on_terminal(state, *words, "--yes", columns=200)
    assert (code, "Revoke everything" in raw) == (0, False), raw
