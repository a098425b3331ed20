"""What a person is asked on a terminal, and what is left when the person goes away; scripts are never asked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.program import State, run_cli
from support.terminal import on_terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
CTRL_C, CTRL_D = "\x03", "\x04"


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("retire press-1", "Retire 'press-1' for good?"),
        ("purge press-1", "Erase keys and bundles of 'press-1' for ever?"),
        ("purge --older-than 0", "Erase keys and bundles of every device for ever"),
        ("revoke press-1 press-2 --reason superseded", "Revoke 'press-1', 'press-2', for superseded?"),
        ("ca rollover begin", "Make a new CA beside 'IoT Onboarding CA'?"),
    ],
)
def test_what_cannot_be_taken_back_is_asked_on_a_terminal_alone(state: State, words: str, asked: str) -> None:
    state.register("press-1", "press-2")
    before = state.run("audit", "show", "--all").stdout
    for answer in ("no", "", CTRL_D):
        raw, lines, code = on_terminal(state, *words.split(), answers=[answer], columns=120)
        assert (code, asked in raw) == (2, True), raw
        assert "nothing was done" in lines[-2]
    raw, lines, code = on_terminal(state, *words.split(), answers=[CTRL_C], columns=120)
    assert (code, lines[-2]) == (130, "iotonboard: error: interrupted"), raw
    assert state.run("audit", "show", "--all").stdout == before
    raw, _, code = on_terminal(state, *words.split(), answers=["yes"], columns=120)
    assert code == 0, raw
    raw, _, code = on_terminal(state, *words.split(), "--yes", columns=120)
    assert (code, "Type yes" in raw) == (0, False), raw


def test_a_script_is_not_asked(state: State) -> None:
    state.register("press-1", "press-2", "press-3")
    assert "Type yes" not in state.run("revoke", "press-1", "press-2").stderr
    raw, _, code = on_terminal(state, "retire", "press-3", "--json")
    assert (code, "Type yes" in raw) == (0, False), raw


def test_the_list_of_a_question_is_short(state: State, tmp_path: Path) -> None:
    ids = state.register("--count", "7")
    (tmp_path / "ids.txt").write_text("".join(f"{one['device_id']}\n" for one in ids))
    raw, _, _ = on_terminal(state, "revoke", "--batch", str(tmp_path / "ids.txt"), answers=["no"], columns=400)
    assert "and 2 more? Type yes" in raw


def test_one_device_is_revoked_without_a_question(state: State) -> None:
    state.register("press-1")
    raw, _, code = on_terminal(state, "revoke", "press-1")
    assert (code, "Type yes" in raw) == (0, False), raw


NO_FILE = {"IOTONBOARD_PASSPHRASE_FILE": None}


def test_ctrl_c_at_a_prompt_leaves_no_half_made_ca(state: State, tmp_path: Path) -> None:
    place = tmp_path / "new"
    words = ("init-ca", "--common-name", "Plant 4 CA", "--state", str(place))
    for answers, code in (
        ([CTRL_C], 130),
        (["long enough words", CTRL_C], 130),
        ([CTRL_D], 130),
        ([""], 7),
        (["weak"], 6),
    ):
        raw, lines, got = on_terminal(None, *words, answers=answers, env=NO_FILE, columns=200)
        assert got == code, raw
        assert f"passphrase for 'Plant 4 CA' in '{place}': " in raw
        assert lines[-2].startswith("iotonboard: error: "), "it begins on a line of its own"
        assert not place.exists(), answers
    raw, _, code = on_terminal(None, *words, answers=["long enough words"] * 2, env=NO_FILE, columns=200)
    assert (code, f"made the CA 'Plant 4 CA' in '{place}'" in raw) == (0, True), raw


def test_ctrl_c_at_the_passphrase_of_a_revocation_keeps_the_record(state: State) -> None:
    state.register("press-1")
    raw, _, code = on_terminal(state, "revoke", "press-1", answers=[CTRL_C], env=NO_FILE, columns=200)
    assert (code, "the change is recorded" in raw) == (8, True), raw
    assert state.json("show", "press-1")["status"] == "revoked"
    state.run("gen-crl")


@pytest.mark.parametrize("words", ["register press-9", "renew press-1", "export press-1 --out", "gen-crl"])
def test_ctrl_c_at_the_passphrase_ends_the_call(state: State, tmp_path: Path, words: str) -> None:
    state.register("press-1")
    words += f" {tmp_path}/x" * words.endswith("--out")
    before = state.run("audit", "show", "--all").stdout
    for answer in (CTRL_C, CTRL_D):
        raw, lines, code = on_terminal(state, *words.split(), answers=[answer], env=NO_FILE, columns=200)
        assert (code, lines[0].strip(), lines[-2]) == (130, "CA passphrase:", "iotonboard: error: interrupted"), raw
    assert state.run("audit", "show", "--all").stdout == before


def test_a_bundle_s_password_is_asked_for_as_passphrases_are(state: State, tmp_path: Path) -> None:
    (made,) = state.register("press-1")
    words = ("bundle", "open", made["bundle"], "--out", str(tmp_path / "out"))
    for answers, code in ([CTRL_C], 130), ([""], 7), (["wrong"], 7):
        raw, lines, got = on_terminal(None, *words, answers=answers, columns=200)
        assert (got, (tmp_path / "out").exists()) == (code, False), raw
        assert lines[-2].startswith("iotonboard: error: ")
    raw, _, code = on_terminal(None, *words, answers=[made["bundle_password"]], columns=200)
    assert code == 0, raw


def test_an_empty_passphrase_gets_the_hint_of_where_it_came_from(state: State, tmp_path: Path) -> None:
    raw, _, code = on_terminal(state, "register", "press-1", answers=[""], env=NO_FILE)
    assert (code, "no passphrase was typed" in raw) == (7, True), raw
    said = state.run("register", "press-1", env={**NO_FILE, "IOTONBOARD_PASSPHRASE": ""}, expect=7).stderr
    assert "unset IOTONBOARD_PASSPHRASE" in said
    (tmp_path / "empty").write_text("")
    assert "first line" in state.run("register", "press-1", "--passphrase-file", tmp_path / "empty", expect=7).stderr


def test_a_rollover_that_was_begun_by_mistake_is_cancelled(state: State) -> None:
    state.register("press-1")
    anchors = state.ca_cert.read_bytes()
    assert state.json("ca", "rollover")["status"] == "none"
    assert state.ca_cert.read_bytes() == anchors, "it only looks"
    state.run("ca", "rollover", "begin")
    assert state.json("ca", "rollover", "--cancel")["status"] == "cancelled"
    assert state.ca_cert.read_bytes() == anchors
    assert sorted(path.name for path in state.certs.glob("*.key")) == ["ca.key"]
    assert state.run("health", "--deep").stdout == "everything is as it was recorded\n"
    state.run("audit", "verify")
    state.register("press-2")
    assert state.json("bundle", "password", "press-1")["bundle_password"]
    state.run("revoke", "press-1")
    state.run("ca", "rollover", "cancel", expect=4)

    state.run("ca", "rollover", "begin")
    state.register("press-3")
    refused = state.run("ca", "rollover", "cancel", expect=4).stderr
    assert "renew --old-ca" in refused
    assert len(state.json("ca", "status")["cas"]) == 2


def test_an_export_line_comes_with_a_key_file(tmp_path: Path) -> None:
    key, new = tmp_path / "the key", tmp_path / "new key"
    made = run_cli("init-ca", "--state", tmp_path / "s", "--generate-key-file", key)
    assert f"next: export IOTONBOARD_PASSPHRASE_FILE='{key}'" in made.stderr
    changed = run_cli("ca", "passwd", "--state", tmp_path / "s", "--passphrase-file", key, "--generate-key-file", new)
    assert f"next: export IOTONBOARD_PASSPHRASE_FILE='{new}'" in changed.stderr
