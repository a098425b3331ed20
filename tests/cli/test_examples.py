"""The examples do what they say: they are what people copy from."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.broker import wait_for
from support.program import PROJECT, State, program_environment
from support.tools import need

LINE = PROJECT / "examples" / "line.sh"
WAYS = pytest.mark.parametrize("way", ["call", "stream"])


@pytest.fixture
def line_environment(state: State, tmp_path: Path) -> dict[str, str]:
    """An environment in which ``iotonboard`` is a command."""
    need("bash")
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "iotonboard"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m iotonboard "$@"\n')
    command.chmod(0o755)
    environment = program_environment(state=state)
    return {**environment, "PATH": f"{folder}{os.pathsep}{environment['PATH']}"}


def run_line(way: str, ids: str, environment: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINE, way], input=ids, capture_output=True, text=True, env=environment, cwd=cwd, check=False, timeout=120
    )


@WAYS
def test_the_line_gives_every_device_its_identity(
    state: State, line_environment: dict[str, str], tmp_path: Path, way: str
) -> None:
    done = run_line(way, "press-1\n\npress-2\npress-3", line_environment, tmp_path)
    assert done.returncode == 0, done.stderr
    ids = ("press-1", "press-2", "press-3")
    assert done.stdout.splitlines() == [f"ok {name} {state.device(name) / 'creds.zip'}" for name in ids]
    assert [one["device_id"] for one in state.run("list", "--json").json_lines] == list(ids)


@WAYS
def test_a_rejected_device_does_not_stop_the_line(
    state: State, line_environment: dict[str, str], tmp_path: Path, way: str
) -> None:
    done = run_line(way, "press-1\na/b\npress-2\n", line_environment, tmp_path)
    outcomes = [line.split()[:2] for line in done.stdout.splitlines()]
    assert outcomes == [["ok", "press-1"], ["rejected", "a/b"], ["ok", "press-2"]]
    assert done.returncode == 6
    assert "1 rejected" in done.stderr
    assert [one["device_id"] for one in state.run("list", "--json").json_lines] == ["press-1", "press-2"]


@WAYS
def test_the_same_list_again_is_answered_with_the_same_identities(
    state: State, line_environment: dict[str, str], tmp_path: Path, way: str
) -> None:
    first = run_line(way, "press-1\npress-2\n", line_environment, tmp_path)
    serials = [one["serial"] for one in state.run("list", "--json").json_lines]
    second = run_line(way, "press-1\npress-2\n", line_environment, tmp_path)
    assert (second.returncode, second.stdout) == (0, first.stdout)
    assert [one["serial"] for one in state.run("list", "--json").json_lines] == serials


@WAYS
@pytest.mark.parametrize(("variable", "exit_code"), [("IOTONBOARD_PASSPHRASE_FILE", 7), ("IOTONBOARD_STATE", 3)])
def test_the_line_stops_when_the_program_cannot_work(
    state: State, line_environment: dict[str, str], tmp_path: Path, way: str, variable: str, exit_code: int
) -> None:
    wrong = tmp_path / "wrong"
    if variable == "IOTONBOARD_PASSPHRASE_FILE":
        wrong.write_text("not it\n")
    before = state.snapshot()
    done = run_line(way, "press-1\npress-2\n", {**line_environment, variable: str(wrong)}, tmp_path)
    assert done.returncode == exit_code, done
    assert done.stdout == ""
    assert "call the officer" in done.stderr
    assert state.snapshot() == before


def test_a_killed_stream_is_noticed(state: State, line_environment: dict[str, str], tmp_path: Path) -> None:
    """The program dies in the middle of a shift: no device is called ok that has no answer."""
    pid_file = tmp_path / "pid"
    command = tmp_path / "bin" / "iotonboard"
    command.write_text(command.read_text().replace("exec", f'echo $$ >"{pid_file}"\nexec'))
    line = subprocess.Popen(
        [LINE, "stream"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=line_environment,
        cwd=tmp_path,
    )
    assert line.stdin is not None
    assert line.stdout is not None
    line.stdin.write(b"press-1\n")
    line.stdin.flush()
    assert line.stdout.readline().startswith(b"ok press-1 ")
    pid = int(wait_for(lambda: pid_file.exists() and pid_file.read_text().strip(), "the program's number"))
    os.kill(pid, signal.SIGKILL)
    rest, errors = line.communicate(b"press-2\npress-3\n", timeout=60)
    assert rest == b""
    assert line.returncode not in (0, 6)
    assert b"call the officer" in errors
    assert [one["device_id"] for one in state.run("list", "--json").json_lines] == ["press-1"]


def test_the_line_says_how_it_is_called(line_environment: dict[str, str], tmp_path: Path) -> None:
    assert run_line("neither", "", line_environment, tmp_path).returncode == 2


def test_the_device_list_is_one(state: State) -> None:
    answers = state.run("register", "--batch", PROJECT / "examples" / "devices.csv", "--json").json_lines
    assert len(answers) >= 3


@pytest.mark.long
def test_the_quickstart_shows_the_whole_way(tmp_path: Path) -> None:
    """In a copy of the checkout, so that it makes its own environment as on a fresh machine."""
    need("mosquitto")
    copy = tmp_path / "checkout"
    wanted = ("iotonboard", "examples", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")
    copy.mkdir()
    for name in wanted:
        subprocess.run(["cp", "-r", PROJECT / name, copy / name], check=True)
    environment = {name: value for name, value in program_environment().items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [copy / "examples" / "quickstart.sh"],
        env={**environment, "TMPDIR": str(tmp_path)},
        cwd="/",
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "press-17: accepted" in done.stdout
    assert "press-17: refused" in done.stdout
    assert done.stdout.rindex("press-17: refused") < done.stdout.rindex("oven-4: accepted")
    assert [path.name for path in tmp_path.iterdir()] == ["checkout"], "it cleans up"
