"""A row of the database that holds another one's key or certificate: nothing is made, handed over or repaired of it."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from support.program import State

_SWAPS = {
    "key": "UPDATE certificate SET (key_der, salt) = (SELECT key_der, salt FROM certificate WHERE device = 2)"
    " WHERE device = 1",
    "certificate": "UPDATE certificate SET der = (SELECT der FROM certificate WHERE device = 2) WHERE device = 1",
    # The whole row of the other one, in which everything fits but the name.
    "device": "UPDATE certificate SET device = 3 - device WHERE device IS NOT NULL",
}


def edit(state: State, statement: str) -> None:
    with sqlite3.connect(state.path / "devices.db") as connection:
        connection.execute(statement)
    connection.close()


@pytest.fixture
def swapped(state: State, request: pytest.FixtureRequest) -> State:
    state.register("press-1", "press-2")
    edit(state, _SWAPS[request.param])
    return state


@pytest.mark.parametrize("swapped", _SWAPS, indirect=True)
def test_nothing_leaves_the_program(swapped: State, tmp_path: Path) -> None:
    for words in (
        ("export", "press-1", "--format", "pem", "--out", tmp_path / "out"),
        ("export", "press-1", "--format", "zip", "--out", tmp_path / "out.zip"),
        ("renew", "press-1", "--same-key"),
    ):
        before = swapped.run("show", "press-1", "--json").stdout
        said = swapped.run(*words, expect=7).stderr
        assert "in the row" in said or "not that of its certificate" in said
        assert "health --deep" in said
        assert swapped.run("show", "press-1", "--json").stdout == before
    assert not list(tmp_path.glob("out*"))
    assert swapped.run("bundle", "password", "press-1", expect=7).stdout == ""
    shutil.rmtree(swapped.path / "certs" / "devices" / "press-1")
    swapped.run("deliver", "press-1", expect=7)
    assert not list((swapped.path / "outbox").rglob("*.zip"))


@pytest.mark.parametrize("swapped", ["certificate", "device"], indirect=True)
@pytest.mark.parametrize("words", [("labels", "press-1", "--out", "labels.svg"), ("deliver", "press-1")])
def test_nobody_is_given_what_is_another_ones(swapped: State, tmp_path: Path, words: tuple[str, ...]) -> None:
    assert "in the row" in swapped.run(*words, cwd=tmp_path, expect=7).stderr
    assert list(tmp_path.glob("*.svg")) == []
    assert list((swapped.path / "outbox").rglob("*.zip")) == []


@pytest.mark.parametrize("swapped", ["certificate", "device"], indirect=True)
def test_no_certificate_is_renewed_that_is_not_the_devices(swapped: State) -> None:
    assert "in the row" in swapped.run("renew", "press-1", expect=7).stderr


@pytest.mark.parametrize("swapped", _SWAPS, indirect=True)
def test_nothing_is_repaired_from_it(swapped: State) -> None:
    folder = swapped.path / "certs" / "devices" / "press-1"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert "in the row" in swapped.run("health", "--repair", expect=9).stdout
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_brokers_key_is_not_repaired_from_another_ones(state: State) -> None:
    state.run("broker", "issue", "broker-1.example")
    state.run("broker", "issue", "broker-2.example")
    edit(
        state,
        "UPDATE certificate SET (key_der, salt) ="
        " (SELECT key_der, salt FROM certificate WHERE host = 'broker-2.example') WHERE host = 'broker-1.example'",
    )
    key = state.path / "certs" / "brokers" / "broker-1.example" / "broker.key"
    before = key.read_bytes()
    assert "not that of its certificate" in state.run("health", "--repair", expect=9).stdout
    assert key.read_bytes() == before
