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


def text_of(raw: str) -> str:
    """What a terminal shows, as the program wrote it."""
    return re.sub(r"\x1b\[[0-9;]*m", "", raw).replace("\r", "")


@pytest.mark.parametrize("columns", [80, 120])
def test_a_device_is_a_card_whose_values_are_whole(state: State, columns: int) -> None:
    raw, lines, code = on_terminal(state, "register", "press-17", columns=columns)
    assert code == 0, raw
    card = lines[1 : next(number for number, line in enumerate(lines) if line.startswith("iotonboard: "))]
    pairs = (re.split(r"  +", line.strip(), maxsplit=1) for line in card if line.startswith("  "))
    facts = dict(pair for pair in pairs if len(pair) > 1)  # a long path stands below its label
    assert lines[0] == "press-17  created"
    assert facts["password"] == state.json("bundle", "password", "press-17")["bundle_password"]
    assert f"{state.device('press-17') / 'creds.zip'}\n" in text_of(raw)
    assert "renewed" in on_terminal(state, "renew", "press-17", columns=columns)[1][0]


def test_messages_break_at_words(fleet: State) -> None:
    fleet.run("revoke", "press-17", "--defer")
    for words in (
        ("revoke", LONG_ID, "--reason", "hold"),
        ("show", "press-1"),
        ("config", "set", "x", "y"),
        ("gen-crl",),
    ):
        raw, _, _ = on_terminal(fleet, *words)
        plain = fleet.run(*words, expect=None)
        words_on_terminal, words_elsewhere = text_of(raw).split(), (plain.stdout + plain.stderr).split()
        assert [word for word in words_elsewhere if word not in words_on_terminal and not re.search(r"\d", word)] in (
            [], ["was", "already"]
        ), raw  # fmt: skip
        assert max(len(line) for line in text_of(raw).splitlines() if len(line.split()) > 1) <= 80, raw
    assert "\x1b[1;31merror\x1b[0m: " in on_terminal(fleet, "show", "press-1")[0]


def test_a_table_that_is_empty_says_so(state: State) -> None:
    for words in (("list",), ("deliveries",), ("broker", "list"), ("expiring",), ("audit", "show", "--subject", "x")):
        assert re.match(r"no|nothing", on_terminal(state, *words)[1][0]), words
        assert state.run(*words).stdout == ""


def test_times_and_paths_in_tables_are_whole(fleet: State) -> None:
    fleet.run("deliver", "press-17")
    for words in (("generations",), ("deliveries",), ("list",)):
        text = text_of(on_terminal(fleet, *words)[0])
        plain = fleet.run(*words).stdout
        for whole in re.findall(r"[0-9-]+T[0-9:]+Z|/\S+", plain):
            assert whole in text, (words, text)


def test_the_trail_is_told_in_words(fleet: State) -> None:
    fleet.run("topics", "add", "press-17", "read:plant/config")
    serial = fleet.json("show", "press-17")["certificates"][0]["serial"]
    text = text_of(on_terminal(fleet, "audit", "show", "--subject", "press-17", columns=120, env={"PAGER": "cat"})[0])
    assert f"serial {serial[:12]}" in text
    assert serial not in text
    assert not re.search(r"[{}\[\]\"]|True|False|None", text)
    assert serial in text_of(on_terminal(fleet, "audit", "show", "--full", columns=120)[0])


def test_the_newest_20_rows_are_shown_unless_more_are_asked_for(fleet: State) -> None:
    while (count := len(fleet.run("audit", "show", "--all").stdout.splitlines())) <= 20:
        fleet.run("topics", "add", "press-17", f"read:plant/{count}")
    every, newest = fleet.run("audit", "show", "--all"), fleet.run("audit", "show")
    assert every.stdout.splitlines()[-20:] == newest.stdout.splitlines()
    assert f"the newest 20 of {count} rows; --all shows all of them" in newest.stderr
    assert every.stderr == ""
    raw, _, code = on_terminal(fleet, "audit", "show", "--all", env={"PAGER": "sed s/ROW/PAGED/"})
    assert (code, "PAGED" in raw) == (0, True), raw
    raw, _, code = on_terminal(fleet, "audit", "show", "--all", env={"PAGER": "/no/pager"})
    assert (code, "topics" in raw) == (0, True), raw


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
