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
    assert AFTER in state.run("ca", "replace", "--compromised", "--validity-days", "20000").stderr


def test_it_is_told_once_where_devices_are_registered_for_small_targets(tmp_path: Path) -> None:
    env = {"IOTONBOARD_STATE": str(tmp_path / "s"), "IOTONBOARD_PASSPHRASE_FILE": str(tmp_path / "pass")}
    words = ("init-ca", "--state", tmp_path / "s", "--generate-key-file", tmp_path / "pass")
    run_cli(*words, "--validity-days", "20000")
    for name, times in (("c-header", 1), ("json", 0)):
        words = ("register", f"{name}-1", f"{name}-2", "--format", name, "--out", tmp_path / name)
        assert run_cli(*words, env=env).stderr.count(AFTER) == times, name


def test_attributes_that_a_format_cannot_hold_are_told(state: State, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(
        f"device_id,line,a_name_of_20_letters,note\npress-1,A3,x,short\npress-2,A3,y,{'𝄞' * 1001}\npress-3,A4,,\n"
    )
    words = ("register", "--batch", tmp_path / "list.csv", "--format", "esp-nvs", "--out", tmp_path / "nvs", "--json")
    done = state.run(*words)
    assert [one.get("left_out") for one in done.json_lines] == [
        ["a_name_of_20_letters"], ["a_name_of_20_letters", "note"], None,
    ]  # fmt: skip
    for name, device in (("a_name_of_20_letters", "press-1"), ("note", "press-2")):
        said = f"warning: attribute '{name}' does not fit into NVS"
        assert done.stderr.count(said) == 1
        assert f"left out of the file of '{device}'" in done.stderr
    assert "line,data,string,A3" in (tmp_path / "nvs" / "press-2.csv").read_text()
    assert "left_out" not in state.run("register", "press-4", "--set", "line=A3", "--json", *words[3:7]).stdout


@pytest.mark.parametrize(("days", "said"), [(398, []), (399, ["398"]), (826, ["398", "825"])])
def test_a_broker_s_certificate_that_browsers_refuse_is_told(state: State, days: int, said: list[str]) -> None:
    done = state.run("broker", "issue", "broker.test", "--validity-days", str(days)).stderr
    assert [most for most in ("398", "825") if f"more than {most}" in done] == said
