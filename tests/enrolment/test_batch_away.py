"""A share that is away ends no call for many devices: each is answered, and what waits is one object behind them."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.program import State

KEYS = {"schema", "command", "unpublished"}


@pytest.fixture
def share(state: State, tmp_path: Path) -> Path:
    """Where the ACL is published, and may be taken away."""
    (tmp_path / "share").mkdir(mode=0o700)
    state.run("config", "set", "broker_acl_file", tmp_path / "share" / "mosquitto.acl")
    state.run("sync-acl")
    return tmp_path / "share"


def test_answers_come_with_what_is_not_published(state: State, share: Path, tmp_path: Path) -> None:
    share.rename(tmp_path / "away")
    (tmp_path / "devices.csv").write_text("device_id\npress-1\npress-2\n")
    *answers, last = state.run("register", "--batch", tmp_path / "devices.csv", "--json", expect=8).json_lines
    assert [one["created"] for one in answers] == [True, True]
    assert (set(last), last["command"]) == (KEYS, "register")
    assert {one["what"] for one in last["unpublished"]} == {"acl"}
    one, last = state.run("register", "press-3", "--json", expect=8).json_lines
    assert (one["device_id"], set(last)) == ("press-3", KEYS)
    *answers, last = state.run("renew", "press-1", "press-2", "--json", expect=8).json_lines
    assert [one["status"] for one in answers] == ["renewed", "renewed"]
    assert (set(last), last["command"]) == (KEYS, "renew")
    assert "{" not in state.run("register", "press-4", expect=8).stdout
    (tmp_path / "away").rename(share)
    state.run("sync-acl")
    assert state.json("health")["status"] == "ok"


def test_a_broker_that_is_not_reloaded_is_named_behind_the_answer(state: State) -> None:
    state.run("config", "set", "broker.reload", "command:false")
    one, last = state.run("register", "press-1", "--reload", "--json", expect=8).json_lines
    assert (one["created"], [each["what"] for each in last["unpublished"]]) == (True, ["reload"])
