"""An office's health: its trail, its key and its stations; with --deep its rows against what the journals tell."""

from __future__ import annotations

from pathlib import Path

import pytest
from iotonboard.store.registry.registry import Registry

from support.clock import fake_time
from support.offices import Office, trust
from support.program import State, make_state


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[State, State, Path]:
    """Two stations with one id in common, and their journals."""
    folder = tmp_path_factory.mktemp("plant")
    for name in ("line7", "line8", "stick"):
        (folder / name).mkdir()
    line7, line8 = make_state(folder / "line7"), make_state(folder / "line8")
    line7.register("press-1", "press-2", "--set", "hall=north")
    line8.register("press-1")
    for state in (line7, line8):
        state.run("journal", "--out", folder / "stick")
    return line7, line8, folder / "stick"


def found(office: Office, *options: str, expect: int | None = None, **more: object) -> dict[str, list[str]]:
    """What is not well, by the checks' names."""
    checks = office.run("health", *options, "--json", expect=expect, **more).json["checks"]
    told: dict[str, list[str]] = {}
    for one in checks:
        if one["status"] != "ok":
            told.setdefault(one["name"], []).append(one["message"])
    return told


def test_a_round_of_the_stick_makes_it_well(office: Office, told: tuple[State, State, Path]) -> None:
    line7, line8, stick = told
    assert found(office, expect=0) == {"journals": ["no station is trusted yet"]}
    trust(office, line7, "line7")
    assert found(office, expect=9) == {"journals": ["nothing of 'line7' was taken yet"]}
    office.run("station", "take", stick, expect=6)  # the other one is of nobody who is trusted
    assert found(office, expect=0) == {}
    trust(office, line8, "line8")
    office.run("station", "take", stick)
    assert found(office, expect=9) == {"conflicts": ["'press-1' lives at 'line7' and 'line8': no broker lets it in"]}
    office.run("revoke", "press-2", expect=8)
    assert list(found(office, expect=9)) == ["trail", "conflicts", "revocations"]
    office.run("order", "write", "--out", stick)
    assert list(found(office, expect=9)) == ["conflicts", "revocations"]
    assert found(office, "--check", "key", expect=0) == {}
    assert "did you mean 'journals'" in office.run("health", "--check", "journal", expect=5).stderr
    assert "conflicts" in office.run("health", "--list").stdout


def test_what_is_old_is_named(office: Office, told: tuple[State, State, Path]) -> None:
    trust(office, told[0], "line7")
    office.run("station", "take", told[2], expect=6)
    office.run("order", "write", "--out", told[2])
    later = found(office, expect=9, env=fake_time("+40d"))
    assert "did not say that it took the orders" in later["orders"][0]
    assert "days old" in later["journals"][0]
    assert "the CRL of 'line7' ended" in later["crls"][0]


def test_rows_that_no_journal_tells_of_are_found(office: Office, told: tuple[State, State, Path]) -> None:
    trust(office, told[0], "line7")
    office.run("station", "take", told[2], expect=6)
    assert office.run("health", "--deep").stdout == "everything is as it was recorded\n"
    registry = Registry.open(office.url or f"sqlite:///{office.path}/devices.db", timeout_s=5)
    registry.execute("UPDATE device SET attributes = '{}' WHERE device_id = 'press-1'")
    registry.execute("DELETE FROM device WHERE device_id = 'press-2'")
    registry.execute("DELETE FROM journal_part WHERE name = 'trail'")
    registry.close()
    differences = office.run("health", "--deep", "--json", expect=9).json["differences"]
    messages = [(one["kind"], one["message"]) for one in differences]
    assert ("device", "the registry says something else than the journals: attributes") in messages
    assert ("device", "a row of which a journal tells is gone from the registry") in messages
    assert "--repair is for a station's state" in office.run("health", "--repair", expect=2).stderr


def test_a_registry_that_is_gone_is_a_finding(office: Office) -> None:
    away = Office(office.path, office.passphrase_file, "postgresql://postgres@127.0.0.1:1/nothing")
    assert list(found(away, expect=9)) == ["registry"]
