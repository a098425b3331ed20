"""A revocation is recorded first: whatever is missing for the rest, it stays, and the next CRL lists it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.program import State, run_cli

LEAVING = pytest.mark.parametrize("verb", ["revoke", "retire"])


def no_passphrase(_state: State, _folder: Path) -> dict[str, Any]:
    return {"env": {"IOTONBOARD_PASSPHRASE_FILE": None}}


def a_wrong_passphrase(_state: State, folder: Path) -> dict[str, Any]:
    wrong = folder / "wrong"
    wrong.write_text("0123456789abcdef" * 4)
    return {"env": {"IOTONBOARD_PASSPHRASE_FILE": str(wrong)}}


def a_missing_key(state: State, folder: Path) -> dict[str, Any]:
    (state.certs / "ca.key").rename(folder / "ca.key")
    return {}


@LEAVING
@pytest.mark.parametrize("missing", [no_passphrase, a_wrong_passphrase, a_missing_key])
def test_a_revocation_waits_for_no_key(
    state: State, tmp_path: Path, verb: str, missing: Callable[[State, Path], dict[str, Any]]
) -> None:
    state.register("press-1", "press-2")
    crl = state.crl.read_bytes()
    result = state.run(verb, "press-1", "--json", expect=8, **missing(state, tmp_path))
    assert result.json["device_id"] == "press-1"
    assert len(result.json["serials"]) == 1
    assert result.json["crl_number"] is None
    (unsigned,) = result.json["unpublished"]
    assert (unsigned["what"], unsigned["path"]) == ("crl", str(state.crl))
    assert "the change is recorded, and no CRL was signed" in result.stderr
    assert "type: iotonboard gen-crl" in result.stderr
    assert "Traceback" not in result.stderr
    assert state.crl.read_bytes() == crl
    assert "user press-1" not in state.acl.read_text().splitlines()
    assert "user press-2" in state.acl.read_text().splitlines()
    assert state.json("show", "press-1")["status"] == ("revoked" if verb == "revoke" else "retired")
    if (tmp_path / "ca.key").exists():
        (tmp_path / "ca.key").rename(state.certs / "ca.key")
    assert state.json("gen-crl")["revoked"] == 1


@LEAVING
def test_the_same_call_again_signs_what_was_recorded(state: State, verb: str) -> None:
    state.register("press-1")
    state.run(verb, "press-1", env={"IOTONBOARD_PASSPHRASE_FILE": None}, expect=8)
    answer = state.json(verb, "press-1")
    assert answer["serials"] == []
    assert answer["crl_number"] == 2
    assert state.json("gen-crl")["revoked"] == 1


@LEAVING
def test_what_names_nobody_asks_for_no_passphrase(state: State, verb: str) -> None:
    before = state.snapshot()
    state.run(verb, "press-404", env={"IOTONBOARD_PASSPHRASE_FILE": None}, expect=5)
    assert state.snapshot() == before


def test_a_device_that_is_retired_already_asks_for_no_passphrase(state: State) -> None:
    state.register("press-1")
    state.run("retire", "press-1")
    answer = state.json("retire", "press-1", env={"IOTONBOARD_PASSPHRASE_FILE": None})
    assert (answer["changed"], answer["crl_number"]) == (False, None)


def test_a_refused_target_leaves_the_others_their_revocation_without_a_key(state: State, tmp_path: Path) -> None:
    state.register("press-1")
    listed = tmp_path / "list.csv"
    listed.write_text("device_id\npress-404\npress-1\n")
    result = run_cli("revoke", "--batch", listed, "--json", state=state.path, expect=8)
    assert result.json["device_id"] == "press-1"
    assert "line 2: there is no device 'press-404'" in result.stderr
    assert "the change is recorded" in result.stderr
