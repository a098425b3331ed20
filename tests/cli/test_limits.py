"""Ends and lives that some clients do not take are told where they are made, and where such devices get them."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.program import State, run_cli

AFTER = "ends after 2038-01-19T03:14:07Z"


def test_a_ca_that_ends_after_2038_is_told(state: State, tmp_path: Path) -> None:
    words = ("init-ca", "--state", tmp_path / "long", "--generate-key-file", tmp_path / "pass")
    assert f"warning: the CA {AFTER}" in run_cli(*words, "--validity-days", "20000").stderr
    env = {"IOTONBOARD_STATE": str(tmp_path / "long"), "IOTONBOARD_PASSPHRASE_FILE": str(tmp_path / "pass")}
    run_cli("register", "press-1", "press-2", env=env)
    for name, is_told in (("esp-nvs", True), ("tasmota", True), ("der", True), ("pem", False)):
        done = run_cli("export", "press-1", "--format", name, "--out", tmp_path / name, env=env)
        assert (AFTER in done.stderr) == is_told, name
    words = ("export", "--batch", "-", "--format", "zephyr", "--out", tmp_path / "all")
    assert run_cli(*words, env=env, input="press-1\npress-2\n").stderr.count(AFTER) == 1
    state.register("press-1")
    done = state.run("export", "press-1", "--format", "esp-nvs", "--out", tmp_path / "short.csv")
    assert AFTER not in done.stderr
    assert AFTER in state.run("ca", "rollover", "begin", "--validity-days", "20000").stderr


@pytest.mark.parametrize(("days", "said"), [(398, []), (399, ["398"]), (826, ["398", "825"])])
def test_a_broker_s_certificate_that_browsers_refuse_is_told(state: State, days: int, said: list[str]) -> None:
    done = state.run("broker", "issue", "broker.test", "--validity-days", str(days)).stderr
    assert [most for most in ("398", "825") if f"more than {most}" in done] == said
