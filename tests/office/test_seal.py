"""What somebody writes into an office's registry gets no seal of the office."""

from __future__ import annotations

import base64
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from iotonboard.model import Caller
from iotonboard.office import decisions
from iotonboard.pki.pem import pem_blocks
from iotonboard.store.registry import trail
from iotonboard.store.registry.registry import Registry

from support.offices import Office, make_office, trust
from support.program import State, make_state


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> State:
    return make_state(tmp_path_factory.mktemp("line7"))


def test_a_decision_that_was_planted_is_not_sealed_with_the_next_one(
    office: Office, station: State, tmp_path: Path
) -> None:
    (tmp_path / "thief").mkdir()
    thief = make_state(tmp_path / "thief", "--common-name", "Thief")
    certificate = pem_blocks("CERTIFICATE", thief.ca_cert.read_bytes())[0]
    registry = Registry.open(office.url or f"sqlite:///{office.path}/devices.db", timeout_s=5)
    detail = {
        decisions.DECISION: decisions.TRUST,
        "station": 9,
        "certificate": base64.b64encode(certificate).decode("ascii"),
    }
    with registry.transaction():
        trail.append(registry, Caller("a", "b", "c"), datetime.now(UTC), subject="thief", detail=detail)
    registry.close()
    fingerprint = station.json("ca", "status")["cas"][0]["ca_fingerprint"]
    words = "station", "trust", "line7", station.ca_cert, "--fingerprint", fingerprint
    assert "gives trust and was never sealed" in office.run(*words, expect=3).stderr
    assert "thief" not in office.run("station", "list").stdout


@pytest.mark.parametrize(
    ("edit", "verb", "exit_code"),
    [
        ("UPDATE machine SET added_at = 'soon'", ("machine", "list"), 3),
        ("UPDATE station SET answered = 'never', until_row = x'00'", ("health",), 9),
        ("UPDATE trail SET hash = 5, time = 'now'", ("list",), 0),
        ("UPDATE trail_head SET hash = -1, signature = 'x'", ("gen-crl",), 3),
    ],
)
def test_a_value_that_cannot_be_is_named_and_is_no_defect(
    tmp_path: Path, station: State, edit: str, verb: tuple[str, ...], exit_code: int
) -> None:
    office = make_office(tmp_path)
    trust(office, station, "line7")
    with sqlite3.connect(office.path / "devices.db") as database:
        database.execute(edit)
    told = office.run(*verb, expect=exit_code)
    assert "cannot be in the column" in told.stdout + told.stderr or "office's trail" in told.stderr
