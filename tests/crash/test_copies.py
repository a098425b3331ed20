"""Two copies of one state that both work on: no order of their commands lets a revoked device in again."""

from __future__ import annotations

import random
import re
import shutil
from itertools import permutations
from pathlib import Path

import pytest

from support.copies import Copies
from support.faults import KILLED, die_at
from support.program import State

STYLES = ("per-device", "pattern")


@pytest.fixture(params=STYLES)
def copies(request: pytest.FixtureRequest, state: State, tmp_path: Path) -> Copies:
    state.run("config", "set", "acl.style", request.param)
    return Copies(state, tmp_path, "a", "b", "c", "d")


def test_a_copy_that_was_made_to_try_something_issues_nothing(copies: Copies) -> None:
    copies.one.run("revoke", "a", "--reason", "keyCompromise")
    before = (copies.live / "acl").read_bytes()
    said = copies.two.run("register", "new", expect=4).stderr
    assert "another copy of this state is at work" in said
    assert "iotonboard restore --crl" in said
    assert copies.two.run("show", "new", expect=5)
    for words in (("renew", "b"), ("broker", "issue", "broker.test"), ("ca", "rollover", "begin")):
        copies.two.run(*words, expect=4)
    assert (copies.live / "acl").read_bytes() == before
    copies.one.register("another")


def test_the_region_alone_tells_it_too(copies: Copies) -> None:
    """Where no list was signed since: rights that were taken away do not come back."""
    copies.one.run("topics", "add", "b", "read:plant/b")
    copies.two.run("register", "new", expect=4)
    copies.two.run("revoke", "c")
    assert copies.silent() == copies.revoked() == {"c"}
    assert b"topic read plant/b\n" in (copies.live / "acl").read_bytes()
    for words in (("topics", "remove", "b", "read:plant/b"), ("topics", "add", "d", "read:plant/d")):
        copies.two.run(*words, expect=4)
    copies.two.run("sync-acl")
    assert copies.silent() == {"c"}
    assert b"topic read plant/b\n" in (copies.live / "acl").read_bytes()


def test_what_shapes_the_acl_stays_while_another_copy_works(copies: Copies, state: State) -> None:
    """Its region stays as it is, so a setting that shapes it would only seem to be in force."""
    assert copies.two.json("health", "--check", "copies")["status"] == "ok"
    copies.one.run("topics", "add", "b", "read:plant/b")
    found = copies.two.json("health", "--check", "copies", expect=9)["checks"][0]
    assert (found["status"], "restore --crl" in found["hint"]) == ("failed", True)
    toml = copies.two.path / "iotonboard.toml"
    other = "per-device" if "pattern" in toml.read_text() else "pattern"
    for words in (("config", "set", "acl.topics", "read:plant/x"), ("config", "set", "acl.style", other)):
        assert "another copy of this state is at work" in copies.two.run(*words, expect=4).stderr
    copies.two.run("gen-crl")
    assert copies.two.json("health", "--check", "copies", expect=9)["status"] == "failed"
    copies.two.run("sync-acl", "--style", other, expect=4)
    toml.write_text(re.sub(r"(?m)^\[acl\]\n(?:.+\n)*", "", toml.read_text()) + f'[acl]\nstyle = "{other}"\n')
    copies.two.run("config", "accept", expect=4)
    copies.two.run("restore", "--crl", copies.live / "crl.pem")
    assert copies.two.json("health", "--check", "copies")["status"] == "ok"
    copies.two.run("config", "set", "acl.style", other)


STEPS = (("one", "revoke", "a"), ("two", "revoke", "b"), ("one", "gen-crl"), ("two", "revoke", "c", "--defer"))
ORDERS = random.Random(3).sample(list(permutations(STEPS)), 6)  # noqa: S311 - a sample, and always the same


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: ",".join(step[0] + step[1][0] for step in order))
def test_what_one_copy_revoked_the_other_takes_up(state: State, tmp_path: Path, order: tuple) -> None:
    copies = Copies(state, tmp_path, "a", "b", "c", "d")
    number, gone = copies.number, set()
    for who, *words in order:
        getattr(copies, who).run(*words)
        gone |= set(words[1:2]) - {"--defer"}
        assert copies.silent() == gone, (who, words)
        if "--defer" in words:
            continue
        assert copies.number > number
        number = copies.number
        assert copies.revoked() >= gone - {"c"}
    copies.two.run("gen-crl")
    copies.one.run("gen-crl")
    assert copies.revoked() == copies.silent() == {"a", "b", "c"}
    for each in (copies.one, copies.two):
        each.run("register", "new", expect=4)
        assert "another copy" in each.run("list").stderr


def test_whoever_knows_says_which_copy_goes_on(copies: Copies) -> None:
    copies.one.run("revoke", "a")
    copies.two.run("revoke", "b")
    copies.two.run("register", "new", expect=4)
    went_on = copies.one.json("restore", "--crl", copies.live / "crl.pem")
    assert went_on["taken_up"] == 1
    assert copies.silent() == copies.revoked() == {"a", "b"}
    assert "another copy" not in copies.one.run("list").stderr
    copies.one.register("new")
    copies.one.run("topics", "add", "c", "read:plant/c")
    assert b"topic read plant/c\n" in (copies.live / "acl").read_bytes()
    assert copies.one.json("gen-crl")["crl_number"] == copies.number
    copies.two.run("register", "other", expect=4)
    copies.two.run("revoke", "d")
    assert copies.silent() == copies.revoked() == {"a", "b", "d"}
    assert b"topic read plant/c\n" in (copies.live / "acl").read_bytes()


def test_whom_the_other_copy_shut_out_on_no_list_is_on_hold(copies: Copies) -> None:
    """Its region alone says so, and that is replaced by whoever settles which copy counts."""
    copies.one.register("late")
    copies.two.run("revoke", "b", "--defer")
    told = copies.one.run("restore", "--crl", copies.live / "crl.pem", "--json")
    assert told.json["held"] == ["b"]
    assert told.json["missing_there"] == told.json["topics_missing_there"] == []
    assert "on hold now: b:" in told.stderr
    assert copies.silent() == copies.revoked() == {"b"}
    copies.one.run("release", "b")
    assert copies.silent() == copies.revoked() == set()


def test_what_the_other_copy_may_never_have_known_is_told(copies: Copies) -> None:
    copies.one.register("late")
    copies.one.run("topics", "add", "d", "read:plant/d")
    copies.two.run("restore", "--crl", copies.live / "crl.pem")
    copies.two.run("revoke", "a", "--defer")
    told = copies.one.run("restore", "--crl", copies.live / "crl.pem", "--json")
    assert told.json["held"] == ["a"]
    assert told.json["topics_missing_there"] == ["d"]
    has_patterns = b"pattern" in (copies.live / "acl").read_bytes()
    assert told.json["missing_there"] == ([] if has_patterns else ["late"])
    assert ("lacks late, which are let in again" in told.stderr) is not has_patterns
    assert copies.silent() == copies.revoked() == {"a"}


def test_an_acl_that_is_away_tells_nothing_and_that_is_told(copies: Copies) -> None:
    copies.two.run("revoke", "b")
    copies.one.run("gen-crl")
    away = copies.live.rename(copies.live.with_name("away"))
    told = copies.one.run("restore", "--crl", away / "crl.pem", "--json", expect=8)
    assert "whom the other copy's ACL shuts out cannot be told" in told.stderr
    assert {one["what"] for one in told.json["unpublished"]} == {"crl", "acl"}
    away.rename(copies.live)
    copies.one.run("sync-acl")
    assert copies.silent() == copies.revoked() == {"b"}


def test_restore_crl_killed_at_every_step(state: State, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """In place, beside the broker: at no moment anybody is let in, and the same command goes on."""
    copies = Copies(state, tmp_path, "a", "b", "c")
    copies.one.run("revoke", "a")
    copies.two.run("revoke", "b", "--defer")
    words = ("restore", "--crl", str(copies.live / "crl.pem"))
    folders = (copies.live, copies.two.path.parent)
    for folder in folders:
        shutil.copytree(folder, tmp_path / "home" / folder.name)
    for step in range(1, 500, 1 if request.config.getoption("--long") else 6):
        result = copies.two.run(*words, before=die_at(step), expect=(0, KILLED))
        assert copies.silent() == {"a", "b"}, step
        assert copies.revoked() >= {"a"}, step
        copies.two.run(*words)
        assert copies.silent() == copies.revoked() == {"a", "b"}, step
        copies.two.register("new")
        for folder in folders:
            shutil.rmtree(folder)
            shutil.copytree(tmp_path / "home" / folder.name, folder)
        if result.exit_code == 0:
            break
    assert step > 10


def test_a_list_that_another_copy_put_there_in_between_is_not_written_over(state: State, tmp_path: Path) -> None:
    """Signed while the disk was away, published when it is back: the other copy's list has come there since."""
    copies = Copies(state, tmp_path, "a", "b", "c")
    copies.live.rename(tmp_path / "away")
    copies.live.mkdir()
    copies.one.run("revoke", "a", expect=8)
    copies.live.rmdir()
    (tmp_path / "away").rename(copies.live)
    copies.two.run("revoke", "b")
    for words in (("revoke", "c", "--defer"), ("sync-acl",)):
        answer = copies.one.json(*words, expect=8)
        (crl,) = [one for one in answer["unpublished"] if one["what"] == "crl"]
        assert "another copy of this state put its CRL" in crl["error"]
        assert "iotonboard gen-crl" in crl["hint"]
        assert copies.revoked() == {"b"}
    assert copies.silent() == {"a", "b", "c"}
    copies.one.run("gen-crl")
    assert copies.revoked() == copies.silent() == {"a", "b", "c"}


def test_a_calendar_of_another_copy_is_passed_whole(state: State, tmp_path: Path) -> None:
    state.run("gen-crl", "--calendar", "3", "--every", "7")
    copies = Copies(state, tmp_path, "a", "b")
    for _ in range(3):
        copies.one.run("gen-crl")
    copies.one.run("revoke", "a")
    theirs = times(copies)
    copies.two.run("revoke", "b")
    assert copies.revoked() == copies.silent() == {"a", "b"}
    assert all(ours > before for ours, before in zip(times(copies), theirs, strict=True))


def times(copies: Copies) -> list[str]:
    """thisUpdate of each list in place."""
    from support.invariants import read_crls

    return [one.last_update_utc.isoformat() for one in read_crls(copies.live / "crl.pem")]


def test_a_certificate_that_only_the_other_copy_knows_stays_revoked(copies: Copies) -> None:
    serial = copies.one.register("late")[0]["serial"]
    copies.one.run("revoke", "late")
    copies.two.run("gen-crl")
    text = copies.two.run("audit", "show", "--all").stdout
    assert serial in text
    assert copies.two.json("gen-crl")["revoked"] == 1


def test_a_hold_that_ended_here_does_not_come_back_with_an_own_older_list(state: State, tmp_path: Path) -> None:
    state.register("a")
    state.run("revoke", "a", "--reason", "certificateHold")
    (tmp_path / "older.pem").write_bytes(state.crl.read_bytes())
    state.run("release", "a")
    assert state.json("restore", "--crl", tmp_path / "older.pem")["taken_up"] == 0
    assert state.json("show", "a")["status"] == "active"


def test_a_region_without_a_number_is_of_an_earlier_version(state: State) -> None:
    """Existing states need no step."""
    state.register("a")
    text = state.acl.read_text()
    state.acl.write_text(re.sub(r": change .*; the", ": the", text))
    assert state.acl.read_text() != text
    assert state.json("health", "--check", "acl")["status"] == "ok"
    assert state.json("sync-acl")["changed"] is False
    state.register("b")
    assert re.search(r"^# BEGIN iotonboard: change \d+ of [0-9a-f]{16}, row \d+ [0-9a-f]{16}; ", state.acl.read_text())


@pytest.mark.parametrize("change", ["999999999999999 of {key}, row 1 0123456789abcdef", "9" * 30 + " of {key}"])
def test_a_number_that_nobody_counted_to_stops_no_revocation(state: State, change: str) -> None:
    state.register("a", "b")
    text = state.acl.read_text()
    key = re.search(r" of ([0-9a-f]{16})", text)[1]
    state.acl.write_text(re.sub(r"change .*;", f"change {change.format(key=key)};", text))
    state.run("revoke", "a")
    assert "user a\ntopic readwrite" not in state.acl.read_text()
    state.run("revoke", "b")
    assert "topic readwrite" not in state.acl.read_text()


def test_the_region_of_another_copy_that_no_broker_can_read_is_written_anew(state: State) -> None:
    state.register("a", "b")
    text = state.acl.read_text()
    state.acl.write_text(re.sub(r"row .*;", "row 1 0123456789abcdef;", text).replace("user b\n", "usr b\n"))
    state.run("revoke", "a")
    assert "user b\ntopic readwrite devices/b/#\n" in state.acl.read_text()
    assert "user a\ntopic readwrite" not in state.acl.read_text()
