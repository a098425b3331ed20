"""What a person meets who was shown nothing: every message says what is meant, and what to type."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from iotonboard.cli.layout import card_lines, message_lines
from iotonboard.model import RevocationReason

from support.program import State
from support.terminal import on_terminal


def test_a_word_that_is_no_reason_shows_the_reasons_with_what_they_are_for(state: State) -> None:
    state.register("press-1")
    said = state.run("revoke", "press-1", "--reason", "stolen", expect=2).stderr
    assert "'stolen' is no reason" in said
    assert "keyCompromise (stolen, lost or copied)" in said
    assert all(f"{reason.value} (" in said for reason in RevocationReason)


def test_what_is_too_long_to_be_shown_whole_is_marked_where_it_is_cut(state: State) -> None:
    state.register("press-1")
    said = state.run("confirm", "press-1", "--fingerprint", "a1" * 60, expect=6).stderr
    assert f"'{'a1' * 40}'... is not a SHA-256 fingerprint" in said


def test_a_placeholder_is_no_name(state: State) -> None:
    assert "'ID' stands for a name" in state.run("register", "ID", expect=2).stderr
    assert "'HOST' stands for a name" in state.run("broker", "issue", "HOST", expect=2).stderr
    state.run("register", "id")
    state.run("broker", "issue", "host")


def test_a_command_is_copied_from_a_terminal_as_it_has_to_be_typed(state: State) -> None:
    raw, _, _ = on_terminal(state, "register", "press-1", "press-2")
    told = re.sub(r"\x1b\[[0-9;]*m", "", raw).replace("\r", "")
    copied = re.sub(r" \\\n *", " ", told)
    results = re.search(r"results in\s+(\S+)", told)
    assert results
    for command in (f"deliver --batch {results[1]}", f"export --batch {results[1]} --format FORMAT --out DIR"):
        assert f"iotonboard {command}" in copied


def test_a_command_in_quotes_or_with_blanks_in_a_word_goes_on_where_a_shell_takes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    command = f"iotonboard export press-17 --out '/media/{'a disk of a line/' * 4}' --format pem"
    told = "\n".join(message_lines(f"iotonboard: next: {command}; then this"))
    assert f"{command};" in re.sub(r" \\\n *", " ", told)
    assert told.endswith("\n  then this")
    quoted = "\n".join(message_lines("iotonboard: hint: what is not there yet is made by 'iotonboard health --repair'"))
    assert "\n  'iotonboard health --repair'" in quoted


def test_the_broker_that_is_told_writes_the_file_by_which_it_is_reloaded(state: State) -> None:
    issued = state.run("broker", "issue", "broker.test", "--plain-key")
    conf = state.certs / "brokers" / "broker.test" / "mosquitto.conf"
    pid = conf.with_name("mosquitto.pid")
    assert f"pid_file {pid}\n" in conf.read_text()
    if os.geteuid() == 0:
        assert "iotonboard broker issue broker.test --for /etc/mosquitto/iotonboard" in issued.stderr
    else:
        assert f"next: mosquitto -c {conf}" in issued.stderr
        assert f"iotonboard config set broker.reload pid:{pid}" in issued.stderr
    pid.write_text("1\n")
    assert state.json("health", "--deep")["status"] == "ok", "the broker's own file"
    conf.write_text(conf.read_text().replace(f"pid_file {pid}\n", ""))
    state.run("broker", "issue", "broker.test")
    assert "pid_file" in conf.read_text(), "one of an earlier version is written anew"


def test_a_way_to_reload_that_leads_nowhere_is_told_when_it_is_set(state: State, tmp_path: Path) -> None:
    absent = tmp_path / "mosquitto.pid"
    assert f"there is no file '{absent}' now" in state.run("config", "set", "broker.reload", f"pid:{absent}").stderr
    said = state.run("config", "set", "broker.reload", f"command:{tmp_path}/reload it").stderr
    assert f"there is no program '{tmp_path}/reload'" in said
    absent.write_text("1\n")
    assert state.run("config", "set", "broker.reload", f"pid:{absent}").stderr == ""


def test_where_a_way_to_reload_is_set_every_hint_names_it(state: State) -> None:
    state.run("config", "set", "broker.reload", "command:true")
    for words in ("register press-1 press-2", "gen-crl", "topics add press-1 read:plant/x",
                  "revoke press-1 --reason hold", "release press-1", "retire press-2"):  # fmt: skip
        assert "iotonboard sync-acl --reload" in state.run(*words.split()).stderr, words


def test_a_reload_that_was_wanted_is_part_of_what_finishes_it(state: State, tmp_path: Path) -> None:
    state.register("press-1", "press-2")
    state.run("config", "set", "broker.reload", "command:true")
    (tmp_path / "wrong").write_text("wrong wrong wrong\n")
    said = state.run("revoke", "press-1", "--reload", "--passphrase-file", tmp_path / "wrong", expect=8).stderr
    assert "type: iotonboard gen-crl --reload" in said
    state.run("config", "set", "broker.reload", "command:false")
    said = state.run("revoke", "press-2", "--reload", expect=8).stderr
    assert "type: iotonboard sync-acl --reload" in said


def test_a_revocation_that_reached_the_broker_says_what_connected_devices_can_do(state: State) -> None:
    state.register("press-1")
    state.run("config", "set", "broker.reload", "command:true")
    said = state.run("revoke", "press-1", "--reload").stderr
    assert "stays connected until its connection ends, and the ACL mutes it" in said
    assert "restart of the broker ends all connections" in said


def test_the_prompt_for_a_new_passphrase_fits_and_a_key_file_is_offered(tmp_path: Path) -> None:
    place = tmp_path / "a-folder-with-a-long-name-in-which-the-state-lies"
    words = ("init-ca", "--common-name", "Plant 4 CA", "--state", str(place))
    raw, _, code = on_terminal(None, *words, answers=["one two three four"] * 2)
    assert code == 0, raw
    lines = raw.replace("\r", "").splitlines()
    assert "New CA passphrase: " in lines
    assert "New CA passphrase (again): " in lines
    assert "iotonboard ca passwd --generate-key-file FILE" in raw
    assert "fingerprint" in raw


def test_y_is_yes(state: State) -> None:
    state.register("press-1")
    raw, _, code = on_terminal(state, "retire", "press-1", answers=["y"])
    assert code == 0, raw


def test_a_path_of_a_card_stands_below_its_label_where_it_fits_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for length, below in ((40, False), (70, True), (90, False)):  # what fits nowhere is broken by the terminal alone
        _, line = card_lines("press-17", [("bundle folder", "/" * length)])
        assert ("\n" in line) == below
