"""What a person meets who was shown nothing: every message says what is meant, and what to type."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    assert "'FILE' stands for a file's name" in state.run("pack", "--out", "FILE", expect=2).stderr
    assert "'DIR' stands for" in state.run("export", "a", "--format", "pem", "--out", "DIR", expect=2).stderr
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
    assert "iotonboard ca passwd --generate-key-file ./ca.pass" in raw
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


def told_on_terminal(state: State, *words: str, **options: Any) -> str:
    """What a person reads, with every run of blanks and line ends as one blank."""
    raw, _, _ = on_terminal(state, *words, **options)
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", raw).split())


def test_a_fingerprint_to_compare_is_shown_wherever_credentials_are(state: State, tmp_path: Path) -> None:
    shown = told_on_terminal(state, "register", "press-1")
    fingerprint = state.json("show", "press-1")["certificates"][0]["fingerprint"]
    password = re.search(r"password (\S+)", shown)
    assert password
    opened = told_on_terminal(
        state, "bundle", "open", str(state.device("press-1") / "creds.zip"), "--out", str(tmp_path / "out"),
        answers=[password[1]],
    )  # fmt: skip
    for told in (shown, told_on_terminal(state, "show", "press-1"), opened):
        assert f"fingerprint {fingerprint}" in told


@pytest.mark.parametrize(
    "typed", [str.lower, lambda text: text.replace("-", " "), lambda text: text.replace("-", "").replace("0", "o")]
)
def test_a_bundle_takes_its_password_as_people_write_it(
    state: State, tmp_path: Path, typed: Callable[[str], str]
) -> None:
    (made,) = state.register("press-1")
    state.run("bundle", "open", made["bundle"], "--out", tmp_path / "out", "--password-file", "-",
              input=f" {typed(made['bundle_password'])} \n")  # fmt: skip
    other = "1" if made["bundle_password"][0] != "1" else "2"
    state.run("bundle", "open", made["bundle"], "--out", tmp_path / "no", "--password-file", "-", expect=7,
              input=typed(other + made["bundle_password"][1:]))  # fmt: skip


def test_a_delivery_says_how_the_password_comes_along_and_whether_its_end_was_proved(
    state: State, tmp_path: Path
) -> None:
    made = state.register("press-1", "press-2")
    hint = state.run("deliver", "press-1", "--to", tmp_path / "a disk", expect=5).stderr
    assert f"mkdir -p '{tmp_path}/a disk'" in hint
    assert "iotonboard bundle password press-1" in state.run("deliver", "press-1").stderr
    state.run("deliver", "press-2")
    state.run("confirm", "press-1")
    state.run("confirm", "press-2", "--fingerprint", made[1]["fingerprint"])
    told = told_on_terminal(state, "deliveries", columns=200)
    assert "press-1 fetched (not proved)" in told
    assert "press-2 fetched (proved)" in told
    assert [one["proved"] for one in state.run("deliveries", "--json").json_lines] == [False, True]
    assert re.search(r"confirmed \S+ \(proved\)", told_on_terminal(state, "show", "press-2", columns=200))
    assert state.json("show", "press-1")["certificates"][0]["proved"] is False


def test_what_became_of_a_device_says_what_to_do_with_it(state: State, tmp_path: Path) -> None:
    state.register("stolen", "held")
    state.run("revoke", "stolen", "--reason", "keyCompromise")
    state.run("revoke", "held", "--reason", "hold")
    said = state.run("deliver", "stolen", expect=5).stderr
    assert "it was revoked, for keyCompromise" in said
    assert "the stolen one stays shut out" in said
    assert "'iotonboard release held' ends that" in state.run("deliver", "held", expect=5).stderr
    state.run("labels", "held", "--out", tmp_path / "l.svg")
    assert "--force replaces it" in state.run("labels", "held", "--out", tmp_path / "l.svg", expect=4).stderr


def test_verify_speaks_to_people_in_sentences_and_of_a_revocation_that_is_not_signed(state: State) -> None:
    state.register("in", "out", "waits")
    state.run("revoke", "out")
    state.run("revoke", "waits", "--defer")
    told = told_on_terminal(state, "verify", "in", "out", "waits", "--topic", "devices/{device_id}/x", columns=200)
    assert "in accepted as 'in' in may write" in told
    assert "out refused its certificate is revoked by CRL 2 out may not write" in told
    assert "'waits' is revoked here, and the CRL does not say so yet: it can connect, and the ACL denies it" in told
    assert "in\tstart\taccepted\taccepted as 'in'\n" in state.run("verify", "in").stdout, "as scripts read it"
    assert [one["note"] is None for one in state.json("verify", "in", "waits", expect=0)["devices"]] == [True, False]


def test_the_trail_and_health_are_told_in_plain_words(state: State) -> None:
    state.register("press-1")
    state.run("revoke", "press-1")
    told = told_on_terminal(state, "audit", "show", columns=200)
    assert "seals what was written: certificate 1, device 1" in told
    assert re.search(r"dated \S+ \(early, for clocks that are behind\)", told)
    assert re.search(r"\trevoke\tpress-1\tserial \w+\.\.\., dated ", state.run("audit", "show", "--words").stdout)
    told = told_on_terminal(state, "health", columns=200)
    assert "receipts - not checked" in told
    assert not re.search(r" ok not checked", told)


def test_a_renewal_reloads_the_broker_or_says_that_it_must(state: State, tmp_path: Path) -> None:
    state.register("press-1")
    assert "then reload it" in state.run("renew", "press-1", "--revoke-old", "now").stderr
    assert "reload it" not in state.run("renew", "press-1").stderr, "no list and no rule changed"
    read = f"cat {state.acl} {state.crl} >{tmp_path / 'read'}"
    state.run("config", "set", "broker.reload", f'command:sh -c "{read}"')
    assert "reload it" not in state.run("renew", "press-1", "--revoke-old", "now", "--reload").stderr
    assert (tmp_path / "read").exists()
    state.run("config", "set", "broker.reload", "command:false")
    state.run("renew", "press-1", "--reload", expect=8)
