"""The examples do what they say: they are what people copy from."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.broker import Broker, wait_for
from support.client import connect_answer, unpack
from support.clock import fake_time
from support.program import PROJECT, State, program_environment, run_cli
from support.tools import need, run_tool

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


# -- the run-books ---------------------------------------------------------------------------------------------------


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """The folder on a removable disk."""
    (tmp_path / "stick").mkdir()
    return tmp_path / "stick"


def run_book(
    name: str, *words: str | Path, environment: dict[str, str], expect: int = 0
) -> subprocess.CompletedProcess[str]:
    need("openssl")
    done = subprocess.run(
        [PROJECT / "examples" / f"{name}.sh", *map(str, words)],
        capture_output=True,
        text=True,
        env=environment,
        cwd="/",
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=120,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done


def check_package(state: State, stick: Path, *, pinned: Path | None = None, env: dict[str, str] | None = None) -> Path:
    """The package on the stick brings a broker's machine to what the state says; returns the CA file there."""
    place = stick.parent / "broker-machine"
    place.mkdir(exist_ok=True)
    run_cli(
        "apply",
        stick / "brokers.iotpkg",
        "--ca",
        pinned or state.ca_cert,
        "--dest",
        place,
        "--user",
        getpass.getuser(),
        env=env,
    )
    for name, path in (("crl.pem", state.crl), ("mosquitto.acl", state.acl), ("ca.crt", state.ca_cert)):
        assert (place / name).read_bytes() == path.read_bytes(), name
    return place / "ca.crt"


def test_the_first_day(line_environment: dict[str, str], tmp_path: Path, stick: Path) -> None:
    state = State(tmp_path / "plant", tmp_path / "plant.pass")
    environment = {
        **line_environment,
        "IOTONBOARD_STATE": str(state.path),
        "IOTONBOARD_PASSPHRASE_FILE": str(state.passphrase_file),
    }
    devices = PROJECT / "examples" / "devices.csv"
    run_book("first-day", stick, devices, "broker.test", "10.0.4.2", environment=environment)
    assert {path.name for path in (stick / "broker").iterdir()} >= {
        "broker.crt", "broker-plain.key", "mosquitto.conf", "ca.crt", "crl.pem", "mosquitto.acl",
    }  # fmt: skip
    assert len(list(stick.glob("backup-*.zip"))) == 1
    listed = state.run("list", "--json").json_lines
    assert len((stick / "passwords.csv").read_text().splitlines()) == len(listed) + 1
    assert (stick / "passwords.csv").stat().st_mode & 0o077 == 0
    state.run("audit", "verify", "--head", (stick / "audit-head.txt").read_text().strip())
    run_book("monthly", stick, environment=environment)  # the same stick serves from month to month
    before = state.snapshot()
    run_book("first-day", stick, devices, "broker.test", environment=environment, expect=1)
    assert state.snapshot() == before


def test_the_emergency_ends_with_the_thief_outside(
    state: State, line_environment: dict[str, str], tmp_path: Path, stick: Path, start_broker: Callable[..., Broker]
) -> None:
    stolen, other = (unpack(one, tmp_path) for one in state.register("press-1", "press-2"))
    broker = start_broker(state)
    (tmp_path / "broker.pid").write_text(str(broker._process.pid))
    state.run("config", "set", "broker.reload", f"pid:{tmp_path / 'broker.pid'}")
    done = run_book("emergency", stick, "press-1", environment=line_environment)
    assert "press-1: refused" in done.stdout
    assert connect_answer(broker, stolen).startswith("refused")
    assert connect_answer(broker, other) == "Success"
    check_package(state, stick)
    (report,) = stick.glob("emergency-*.txt")
    assert "keyCompromise" in report.read_text()


def test_an_emergency_with_a_wrong_id_revokes_the_others(
    state: State, line_environment: dict[str, str], stick: Path
) -> None:
    state.register("press-1")
    done = run_book("emergency", stick, "press-404", "press-1", environment=line_environment, expect=5)
    assert "press-404: no such device" in done.stdout
    assert "press-1: refused" in done.stdout
    check_package(state, stick)


def test_the_month_renews_and_proves(state: State, line_environment: dict[str, str], stick: Path) -> None:
    (soon,) = state.register("press-1", "--validity-days", "20")
    state.register("press-2")
    done = run_book("monthly", stick, environment=line_environment, expect=9)
    assert "press-1" in done.stdout
    certificates = state.json("show", "press-1")["certificates"]
    assert [one["serial"] for one in certificates][1:] == [soon["serial"]]
    assert len((stick / "audit-head.txt").read_text().splitlines()) == 1
    check_package(state, stick)
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as database:
        database.execute("DELETE FROM audit WHERE seq > 5")
        database.commit()
    done = run_book("monthly", stick, environment=line_environment, expect=9)
    assert "== 2." not in done.stdout


def test_a_month_with_a_refused_device_still_ends_with_crl_and_backup(
    state: State, line_environment: dict[str, str], stick: Path
) -> None:
    """No new certificate fits into the CA's last days: the brokers need their CRL all the more."""
    state.run("register", "press-1", "--validity-days", "20")
    state.run("config", "set", "cert_validity_days", "36500")
    done = run_book("monthly", stick, environment=line_environment, expect=9)
    assert "ca rollover begin" in done.stderr + done.stdout
    assert (stick / "audit-head.txt").exists()
    assert len(list(stick.glob("backup-*.zip"))) == 1
    check_package(state, stick)


def test_the_state_moves_and_the_old_one_is_out_of_use(
    state: State, line_environment: dict[str, str], tmp_path: Path, stick: Path
) -> None:
    state.register("press-1", "press-2")
    state.run("revoke", "press-1")
    run_book("move", "leave", stick, environment=line_environment)
    assert not state.path.exists()
    there = State(tmp_path / "new-workstation", state.passphrase_file)
    environment = {**line_environment, "IOTONBOARD_STATE": str(there.path)}
    run_book("move", "arrive", stick, environment=environment)
    assert there.json("health")["status"] == "ok"
    assert there.json("show", "press-1")["status"] == "revoked"
    assert (there.device("press-2") / "creds.zip").exists()
    check_package(there, stick)
    assert there.json("gen-crl")["crl_number"] > 4
    there.register("press-3")


def test_the_rollover_ends_when_the_last_old_certificate_has(
    state: State, line_environment: dict[str, str], tmp_path: Path, stick: Path
) -> None:
    state.register("press-1", "press-2")
    state.run("broker", "issue", "broker.test", "10.0.4.2", "--plain-key")
    old_ca = Path(shutil.copy(state.ca_cert, tmp_path / "pinned.crt"))
    run_book("rollover", "begin", stick, environment=line_environment)
    pinned = check_package(state, stick, pinned=old_ca)
    assert pinned.read_text().count("BEGIN") == state.crl.read_text().count("BEGIN") == 2
    run_book("rollover", "renew", stick, environment=line_environment)
    assert "2 devices" in run_book("rollover", "end", stick, environment=line_environment, expect=1).stderr
    later = fake_time("+15d")  # an overlap lasts for 14 days
    done = run_book("rollover", "end", stick, environment={**line_environment, **later})
    check_package(state, stick, pinned=pinned, env=later)
    assert f"Next, on broker.test: put {stick}/broker.test/ in place" in done.stdout
    certificate = stick / "broker.test" / "broker.crt"
    text = run_tool("openssl", "x509", "-in", certificate, "-noout", "-ext", "subjectAltName").stdout
    assert "DNS:broker.test" in text
    assert "10.0.4.2" in text
    run_tool("openssl", "verify", "-no_check_time", "-CAfile", state.ca_cert, certificate)
    assert [one["name"] for one in state.json("ca", "status")["cas"]] == ["IoT Onboarding CA G2"]


RUN_BOOKS = ("first-day", "emergency", "monthly", "move", "rollover")


@pytest.mark.parametrize("name", RUN_BOOKS)
def test_a_run_book_that_is_called_wrongly_changes_nothing(
    state: State, line_environment: dict[str, str], name: str
) -> None:
    before = state.snapshot()
    done = run_book(name, environment=line_environment, expect=1)
    assert "usage" in done.stderr
    assert state.snapshot() == before
