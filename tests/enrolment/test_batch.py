"""Batches: lists as spreadsheets write them, one bad row among good ones, and going on after an interruption."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import sqlite3
import subprocess
from functools import reduce
from pathlib import Path

import pytest
from iotonboard.cli.targets import exit_code_with
from iotonboard.errors import BusyError, NotFoundError
from iotonboard.model import Refused

from support.broker import wait_for
from support.client import open_bundle
from support.program import PROGRAM, State, program_environment


def listed(state: State) -> list[str]:
    return sorted(one["device_id"] for one in state.run("list", "--json").json_lines)


@pytest.fixture
def devices_csv(tmp_path: Path) -> Path:
    return tmp_path / "devices.csv"


SPREADSHEETS = {
    "plain": "device_id,name,line\npress-1,Größe 4,A3\npress-2,,\n".encode(),
    "BOM": "\ufeffdevice_id,name,line\npress-1,Größe 4,A3\npress-2,,\n".encode(),
    "CRLF": "device_id,name,line\r\npress-1,Größe 4,A3\r\npress-2,,\r\n".encode(),
    "semicolons": "device_id;name;line\npress-1;Größe 4;A3\npress-2;;\n".encode(),
    "tabs": "device_id\tname\tline\npress-1\tGröße 4\tA3\npress-2\t\t\n".encode(),
    "all of it": '\ufeff"device_id";"name";"line"\r\n"press-1";"Größe 4";"A3"\r\n"press-2";"";""\r\n'.encode(),
    "no end of line at the end": "device_id,name,line\npress-1,Größe 4,A3\npress-2,,".encode(),
    "empty lines and blanks": " device_id , name,line\n\n press-1 , Größe 4 ,A3\n\n,,\npress-2,,\n\n".encode(),
    "id for device_id": "id,name,line\npress-1,Größe 4,A3\npress-2,,\n".encode(),
    "columns in another order": "line,name,device_id\nA3,Größe 4,press-1\n,,press-2\n".encode(),
    "short rows": "device_id,name,line\npress-1,Größe 4,A3\npress-2\n".encode(),
}


@pytest.mark.parametrize("content", SPREADSHEETS.values(), ids=SPREADSHEETS)
def test_what_spreadsheets_write_is_read(state: State, devices_csv: Path, content: bytes) -> None:
    devices_csv.write_bytes(content)
    answers = state.run("register", "--batch", devices_csv, "--json").json_lines
    assert [answer["device_id"] for answer in answers] == ["press-1", "press-2"]
    shown = state.json("show", "press-1")
    assert (shown["name"], shown["attributes"]) == ("Größe 4", {"line": "A3"})
    assert state.json("show", "press-2")["attributes"] == {}


def test_a_value_may_hold_separators_quotes_and_line_ends(state: State, devices_csv: Path) -> None:
    devices_csv.write_bytes(b'device_id,where,line\npress-1,"hall 7, left ""door""",A3\na/b,,\n')
    result = state.run("register", "--batch", devices_csv, expect=6)
    assert state.json("show", "press-1")["attributes"]["where"] == 'hall 7, left "door"'
    assert "line 3" in result.stderr


def test_a_list_from_stdin(state: State) -> None:
    result = state.run("register", "--batch", "-", "--json", input="device_id\npress-1\npress-2\n")
    assert [answer["device_id"] for answer in result.json_lines] == ["press-1", "press-2"]


def test_the_columns_that_have_a_meaning(state: State, devices_csv: Path) -> None:
    devices_csv.write_text(
        "device_id,key_type,validity_days,topics\n"
        "press-1,rsa-2048,30,read:plant/config write:plant/log\n"
        "press-2,ed25519,,\n"
        ",,,\n"
    )
    answers = state.run("register", "--batch", devices_csv, "--validity-days", "60", "--json").json_lines
    days = [(one["not_after"][:10], one["not_before"][:10]) for one in answers]
    assert days[0] < days[1]
    acl = state.acl.read_text()
    assert "topic read plant/config\n" in acl
    assert "topic write plant/log\n" in acl
    keys = [open_bundle(Path(one["bundle"]), one["bundle_password"])["device.key"] for one in answers]
    assert len(keys[0]) > 1000 > len(keys[1])


def test_requests_lie_beside_the_list(state: State, tmp_path: Path) -> None:
    from support.tools import run_tool

    folder = tmp_path / "requests"
    folder.mkdir()
    for name in ("press-1", "press-2"):
        run_tool(
            *("openssl", "req", "-new", "-newkey", "ed25519", "-nodes", "-subj", "/CN=x"),
            *("-keyout", folder / f"{name}.key", "-out", folder / f"{name}.csr"),
        )
    (folder / "devices.csv").write_text("device_id,csr\npress-1,press-1.csr\npress-2,press-2.csr\npress-3,no.csr\n")
    result = state.run("register", "--batch", folder / "devices.csv", "--json", expect=6)
    assert listed(state) == ["press-1", "press-2"]
    assert "line 4" in result.stderr


def test_a_row_that_is_taken_back_leaves_no_gap_in_the_trail(state: State, tmp_path: Path) -> None:
    """The second row revokes the old certificate, and is then refused for its key."""
    from support.tools import run_tool

    for name in ("press-1", "press-2", "press-3"):
        run_tool(
            *("openssl", "req", "-new", "-newkey", "ed25519", "-nodes", "-subj", "/CN=x"),
            *("-keyout", tmp_path / f"{name}.key", "-out", tmp_path / f"{name}.csr"),
        )
    state.run("register", "press-1", "--csr", tmp_path / "press-1.csr")
    state.register("press-2")
    table = tmp_path / "devices.csv"
    table.write_text("device_id,csr\npress-3,press-3.csr\npress-2,press-1.csr\npress-1,press-1.csr\npress-4,\n")
    result = state.run("register", "--batch", table, "--if-exists", "reissue", "--json", expect=6)
    assert [answer["status"] for answer in result.json_lines] == ["created", "failed", "reissued", "created"]
    state.run("audit", "verify")
    assert state.json("show", "press-2")["status"] == "active"


def test_a_row_that_the_database_refuses_half_way_leaves_nothing(state: State, devices_csv: Path) -> None:
    state.register("early", "--validity-days", "20")
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as connection:
        # An index by which there is one certificate of less than forty days.
        connection.execute("CREATE UNIQUE INDEX refusing ON certificate (iif(not_after - not_before < 3456000, 0, id))")
    devices_csv.write_text("device_id,validity_days\npress-1,\npress-2,30\npress-3,\n")
    result = state.run("register", "--batch", devices_csv, "--json", expect=6)
    assert [answer["status"] for answer in result.json_lines] == ["created", "failed", "created"]
    assert "line 3: the database has that already: UNIQUE constraint failed" in result.stderr
    assert listed(state) == ["early", "press-1", "press-3"]
    state.run("audit", "verify")


def test_one_bad_row_does_not_stop_the_rest_and_the_summary_counts(state: State, devices_csv: Path) -> None:
    state.register("there")
    devices_csv.write_text("device_id\npress-1\nthere\na/b\npress-2\n")
    result = state.run("register", "--batch", devices_csv, "--json", expect=6)
    assert listed(state) == ["press-1", "press-2", "there"]
    assert "line 3" in result.stderr
    assert "line 4" in result.stderr
    (summary,) = [line for line in result.stderr.splitlines() if "2 created" in line]
    assert "2 failed" in summary
    by_id = {answer["device_id"]: answer for answer in result.json_lines}
    assert by_id["there"]["error"]["exit_code"] == 4
    assert by_id["a/b"]["error"]["exit_code"] == 6
    assert by_id["a/b"]["line"] == 4


@pytest.mark.parametrize("rows", ["a/b\nthere\n", "there\na/b\n", "there\n"])
def test_a_list_with_a_row_that_was_refused_ends_with_one_code_whatever_refused_it(state: State, rows: str) -> None:
    state.register("there")
    state.run("register", "--batch", "-", input=f"device_id\n{rows}", expect=6)
    state.run("register", "there", expect=4)


def test_a_full_disk_comes_before_a_bad_row() -> None:
    full, bad = Refused("a", 2, BusyError("the disk is full")), Refused("b", 3, NotFoundError("no such device"))
    assert reduce(exit_code_with, (bad, full, bad), 0) == 8
    assert reduce(exit_code_with, (bad, bad), 0) == 6


def test_a_list_without_an_end_is_told(state: State, devices_csv: Path) -> None:
    """It is registered all the same: the id is whole, or there is a device with a name of its own to retire."""
    devices_csv.write_bytes(b"device_id\npress-1\npress-2")
    assert "line 3: the last line has no end" in state.run("register", "--batch", devices_csv).stderr
    assert listed(state) == ["press-1", "press-2"]
    assert "no end" not in state.run("register", "--batch", "-", input="press-3\n").stderr


def test_a_column_that_gets_another_name_is_told_once(state: State, devices_csv: Path) -> None:
    devices_csv.write_text("device_id,IMEI Number,Key Type,line\npress-1,1,ec-p256,A\npress-2,2,,B\n")
    result = state.run("register", "--batch", devices_csv)
    assert result.stderr.count("'IMEI Number' as 'IMEI_Number'") == 1
    assert "'Key Type'" not in result.stderr
    assert "'line'" not in result.stderr
    lines = '{"device_id": "a", "attributes": {"Ort 1": "x"}}\n{"device_id": "b", "Ort 1": "y"}\n'
    result = state.run("register", "--batch", "-", input=lines)
    assert result.stderr.count("'Ort 1' as 'Ort_1'") == 1


def test_a_list_that_cannot_be_read_to_its_end(state: State) -> None:
    """A terminal whose other side is gone gives what was written, and then an input/output error."""
    master, slave = pty.openpty()
    os.write(slave, "".join(f"press-{number}\n" for number in range(100, 140)).encode())
    os.close(slave)
    words = [*PROGRAM, "register", "--batch", "-", "--no-bundle"]
    done = subprocess.run(
        words, check=False, stdin=master, capture_output=True, text=True, env=program_environment(state=state)
    )
    os.close(master)
    assert done.returncode == 8
    assert "cannot read stdin behind line 40: Input/output error" in done.stderr
    assert len(listed(state)) == len(done.stdout.splitlines()) == 40


def test_strict_stops_at_the_first_bad_row(state: State, devices_csv: Path) -> None:
    devices_csv.write_text("device_id\npress-1\na/b\npress-2\n")
    result = state.run("register", "--batch", devices_csv, "--strict", expect=6)
    assert "line 3" in result.stderr
    assert "press-2" not in listed(state)
    state.run("register", "--batch", "-", "--if-exists", "skip", input="device_id\npress-1\npress-2\n")
    assert listed(state) == ["press-1", "press-2"]


@pytest.mark.parametrize("second", ["press-1", "PRESS-1"])
@pytest.mark.parametrize("if_exists", ["fail", "skip", "reissue"])
def test_a_device_twice_in_one_list_is_refused_by_its_line(
    state: State, devices_csv: Path, second: str, if_exists: str
) -> None:
    devices_csv.write_text(f"device_id\npress-1\npress-2\n{second}\npress-3\n")
    result = state.run("register", "--batch", devices_csv, "--if-exists", if_exists, expect=6)
    assert listed(state) == ["press-1", "press-2", "press-3"]
    assert "line 4" in result.stderr
    assert "line 2" in result.stderr, "where it stood first"
    assert len(state.json("show", "press-1")["certificates"]) == 1


def test_running_it_again_completes_exactly_what_is_missing(state: State, devices_csv: Path) -> None:
    devices_csv.write_text("device_id\npress-1\na/b\npress-2\n")
    state.run("register", "--batch", devices_csv, expect=6)
    serials = {name: state.json("show", name)["serial"] for name in ("press-1", "press-2")}
    devices_csv.write_text("device_id\npress-1\na-b\npress-2\n")
    again = state.run("register", "--batch", devices_csv, "--if-exists", "skip", "--json")
    assert [(one["device_id"], one["created"]) for one in again.json_lines] == [
        ("press-1", False),
        ("a-b", True),
        ("press-2", False),
    ]
    assert "1 created" in again.stderr
    assert "2 skipped" in again.stderr
    assert {name: state.json("show", name)["serial"] for name in serials} == serials
    third = state.snapshot()
    state.run("register", "--batch", devices_csv, "--if-exists", "skip", "--results", devices_csv.with_suffix(".jsonl"))
    assert state.snapshot() == third


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_batch_commits_says_so_and_goes_on(
    state: State, devices_csv: Path, number: signal.Signals
) -> None:
    wanted = [f"press-{index:04}" for index in range(1000)]
    devices_csv.write_text("\n".join(["device_id", *wanted]))
    answers = devices_csv.with_name("answers")
    with answers.open("wb") as out:
        process = subprocess.Popen(
            [*PROGRAM, "register", "--batch", devices_csv, "--json"],
            env=program_environment(state=state),
            stdout=out,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        wait_for(lambda: process.poll() is not None or answers.stat().st_size > 0, "the first answers")
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert b"--if-exists skip" in errors
    answered = answers.read_text().count("\n")
    assert 0 < answered < len(wanted), "the signal came too late to prove anything"
    assert len(listed(state)) == answered, "what was answered is what is there"
    assert state.acl.read_text().count("\nuser press-") == answered
    again = state.run("register", "--batch", devices_csv, "--if-exists", "skip")
    assert f"{answered} skipped" in again.stderr
    assert listed(state) == wanted
    assert state.json("health")["status"] == "ok"


def test_a_killed_batch_is_completed_by_running_it_again(state: State, devices_csv: Path) -> None:
    wanted = [f"press-{index:04}" for index in range(1000)]
    devices_csv.write_text("\n".join(["device_id", *wanted]))
    process = subprocess.Popen(
        [*PROGRAM, "register", "--batch", devices_csv, "--json"],
        env=program_environment(state=state),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    state.run("register", "--batch", devices_csv, "--if-exists", "skip")
    assert listed(state) == wanted
    assert state.json("health")["status"] == "ok"
    for name in wanted[::100]:
        assert (state.device(name) / "creds.zip").is_file()
    assert state.acl.read_text().count("\nuser press-") == len(wanted)


def test_a_row_that_cannot_be_read_harms_no_other(state: State, devices_csv: Path) -> None:
    ids = [f"press-{index:03}" for index in range(300)]
    rows = [b"device_id", *(name.encode() for name in ids)]
    devices_csv.write_bytes(b"\n".join([*rows[:150], b"M\xfcller", *rows[150:], b""]))
    done = state.run("register", "--batch", devices_csv, "--no-bundle", "--json", "--jobs", "2", expect=6)
    assert "line 151: is not UTF-8" in done.stderr
    assert listed(state) == ids
    assert [answer["device_id"] for answer in done.json_lines if answer["status"] == "created"] == ids
    assert all((state.device(name) / "device.crt").is_file() for name in ids)
    assert state.json("health")["status"] == "ok"


def test_count_in_one_call_is_as_many_devices(state: State) -> None:
    answers = state.register("--count", "300")
    assert len({answer["device_id"] for answer in answers}) == 300
    assert len({answer["serial"] for answer in answers}) == 300
    assert state.acl.read_text().count("\nuser ") == 300


def test_many_workers_make_the_same_devices_as_one(state: State, tmp_path: Path) -> None:
    ids = [f"press-{index:02}" for index in range(50)]
    table = "device_id\n" + "\n".join(ids)
    for jobs in ("1", "2"):
        (tmp_path / jobs).mkdir()
        answers = (
            state.copy_to(tmp_path / jobs)
            .run("register", "--batch", "-", "--jobs", jobs, "--json", input=table)
            .json_lines
        )
        assert [answer["device_id"] for answer in answers] == ids
        for answer in answers[::10]:
            assert "device.key" in open_bundle(Path(answer["bundle"]), answer["bundle_password"])


def test_revoke_takes_a_list(state: State, devices_csv: Path) -> None:
    state.register("press-1", "press-2", "press-3")
    serial = state.json("show", "press-3")["serial"]
    devices_csv.write_bytes(f"\ufeffdevice_id;serial\r\npress-1;\r\npress-404;\r\n;{serial}\r\n".encode())
    result = state.run("revoke", "--batch", devices_csv, "--reason", "cessationOfOperation", "--json", expect=6)
    assert [answer["device_id"] for answer in result.json_lines] == ["press-1", "press-3"]
    assert "line 3" in result.stderr
    assert {one["device_id"]: one["status"] for one in state.run("list", "--json").json_lines} == {
        "press-1": "revoked",
        "press-2": "active",
        "press-3": "revoked",
    }
    assert state.json("gen-crl")["revoked"] == 2


def test_revoke_strict_revokes_nothing_when_one_is_unknown(state: State) -> None:
    state.register("press-1")
    before = state.snapshot()
    state.run("revoke", "press-1", "press-404", "--strict", expect=5)
    assert state.snapshot() == before


def test_after_an_interruption_the_hint_names_the_number_that_is_missing(state: State) -> None:
    words = [*PROGRAM, "register", "--count", "4000", "--no-bundle", "--jobs", "1", "--json"]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=program_environment(state=state)
    )
    assert process.stdout
    process.stdout.readline()
    process.terminate()
    _, errors = process.communicate()
    assert process.returncode == 130
    missing = int(errors.rpartition("--count ")[2])
    assert len(listed(state)) == 4000 - missing


@pytest.mark.long
def test_ten_thousand_devices_in_one_list(state: State, devices_csv: Path) -> None:
    wanted = [f"press-{index:05}" for index in range(10_000)]
    devices_csv.write_text("\n".join(["device_id", *wanted]))
    state.run("config", "set", "acl.style", "pattern")
    state.run("register", "--batch", devices_csv, timeout_s=900)
    assert listed(state) == wanted
    assert state.json("health")["status"] == "ok"
