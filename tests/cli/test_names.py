"""Folders whose names are no UTF-8, as an old disk or a Latin-1 terminal leaves them: everything works there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.program import State


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    folder = os.fsencode(tmp_path) + b"/M\xfcller"
    try:
        os.mkdir(folder)
    except OSError as error:
        pytest.skip(f"this disk takes no such name: {error}")
    return Path(os.fsdecode(folder))


def test_a_state_in_such_a_folder(pristine: State, odd: Path) -> None:
    state = pristine.copy_to(odd)
    assert len(state.run("register", "--count", "2").stdout.splitlines()) == 2
    state.run("register", "d-1")
    state.run("deliver", "d-1")
    state.run("broker", "issue", "localhost")
    assert b"M\xfcller" in (state.certs / "brokers" / "localhost" / "mosquitto.conf").read_bytes()
    state.run("backup", odd / "backup.zip")
    state.run("revoke", "d-1")
    state.run("health", "--deep")
    assert "M\\udcfcller" in state.run("deliveries").stdout


def test_what_is_carried_to_such_a_folder(state: State, odd: Path) -> None:
    state.register("d-1")
    for words in (
        ("deliver", "d-1", "--to", odd),
        ("export", "d-1", "--format", "pem", "--out", odd / "d-1.pem"),
        ("register", "d-2", "--passwords", odd / "p.csv", "--results", odd / "r.csv"),
        ("pack", "--out", odd / "package"),
        ("backup", odd / "backup.zip"),
        ("report", "--out", odd / "report.html"),
    ):
        state.run(*words)
    assert state.json("show", "d-1")["deliveries"][0]["path"].endswith("M\\udcfcller/d-1.zip")


def test_a_terminal_that_shows_few_characters(state: State, odd: Path) -> None:
    env = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    state.run("register", "d-1", "--name", "Gerät Ω", env=env)
    state.run("list", env=env)
    state.run("show", "d-1", "--json", env=env)
    state.run("export", "d-1", "--format", "pem", "--out", odd / "d-1.pem", env=env)
