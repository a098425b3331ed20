"""A clock that cannot be right stops what signs, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.clock import fake_time
from support.program import Result, State, make_state
from support.tools import run_tool

# What the clock says; the last event is now.
WRONG = {
    "1970": "@1970-01-02 00:00:00",
    "a year back": "-365d",
    "two hours back": "-7200s",
    "30 years ahead": "+30y",
    "after 2038": "@2038-01-20 00:00:00",
    "2049": "@2049-12-31 23:59:50",
    "2050": "@2050-01-01 00:00:01",
}
SIGNING = {
    "register": ("register", "x"),
    "reissue": ("register", "a", "--if-exists", "reissue"),
    "gen-crl": ("gen-crl",),
    "broker issue": ("broker", "issue", "broker.test"),
    "renew": ("renew", "a"),
    "ca rollover": ("ca", "rollover", "begin"),
}


def _at(state: State, moment: str, *words: str, zone: str = "UTC") -> Result:
    return state.run(*words, env={"TZ": zone, **fake_time(moment)}, expect=None)


@pytest.fixture(scope="module")
def one_device(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    state = pristine.copy_to(tmp_path_factory.mktemp("one"))
    state.register("a")
    return state


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_clock_stops_every_signature(one_device: State, tmp_path: Path, name: str) -> None:
    state = one_device.copy_to(tmp_path)
    before = (state.crl.read_bytes(), len(state.run("list", "--json").json_lines))
    for words in SIGNING.values():
        result = _at(state, WRONG[name], *words)
        assert result.exit_code == 6, result
        assert "Traceback" not in result.stderr
    assert (state.crl.read_bytes(), len(state.run("list", "--json").json_lines)) == before
    assert [path.name for path in state.certs.glob("*.key")] == ["ca.key"]
    revoked = _at(state, WRONG[name], "revoke", "a")
    assert (revoked.exit_code, "the revocation is recorded" in revoked.stderr) == (6, True), revoked
    assert "not yet on the CRL" in revoked.stdout
    assert state.crl.read_bytes() == before[0]
    assert _at(state, WRONG[name], "revoke", "a", "--defer").exit_code == 0
    assert "user a\n" not in state.acl.read_text()
    assert _at(state, WRONG[name], "gen-crl").exit_code == 6  # what was recorded did not become the measure
    assert state.json("gen-crl")["revoked"] == 1


def test_going_on_deliberately(one_device: State, tmp_path: Path) -> None:
    state = one_device.copy_to(tmp_path)
    assert "accept-clock" in _at(state, "+3y", "gen-crl").stderr
    assert _at(state, "+3y", "accept-clock").exit_code == 0
    assert _at(state, "+3y", "gen-crl").exit_code == 0


# Ten seconds before the change and ten seconds after it, as the wall clock of that zone shows them.
CHANGES = {
    "spring": ("@2027-03-28 01:59:50", "@2027-03-28 03:00:10"),
    "autumn": ("@2027-10-31 01:59:50", "@2027-10-31 03:00:10"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_daylight_saving_stops_nothing(one_device: State, tmp_path: Path, name: str) -> None:
    state = one_device.copy_to(tmp_path)
    for moment in CHANGES[name]:
        result = _at(state, moment, "gen-crl", zone="Europe/Berlin")
        assert result.exit_code == 0, result


def test_validities_past_2050_verify_with_openssl(tmp_path: Path) -> None:
    """UTCTime through 2049, GeneralizedTime from 2050 on (RFC 5280 4.1.2.5)."""
    state = make_state(tmp_path, "--validity-days", "20000")
    state.register("far", "--validity-days", "15000")
    device = state.device("far") / "device.crt"
    run_tool("openssl", "verify", "-CAfile", state.ca_cert, device)
    for path in (state.ca_cert, device):
        assert "GENERALIZEDTIME" in run_tool("openssl", "asn1parse", "-in", path).stdout
