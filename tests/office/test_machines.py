"""Several machines work on one office: each with a key of its own, which the first one trusts."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from iotonboard.pki.pem import pem_blocks

from support.faults import KILLED, die_at
from support.offices import Office, journal, trust
from support.program import PROGRAM, State, program_environment


@pytest.fixture
def second(office: Office, tmp_path: Path) -> Office:
    """Another machine with the same registry, which has not joined yet."""
    passphrase = tmp_path / "second.pass"
    passphrase.write_bytes(office.passphrase_file.read_bytes())
    passphrase.chmod(0o600)
    return Office(tmp_path / "second", passphrase, office.url or f"sqlite:///{office.path}/devices.db")


def first_fingerprint(office: Office) -> str:
    return hashlib.sha256(next(iter(pem_blocks("CERTIFICATE", office.certificate.read_bytes())))).hexdigest()


def join(office: Office, second: Office, name: str = "hall2") -> str:
    words = "init-office", "--join", "--name", name, "--fingerprint", first_fingerprint(office)
    return str(second.json(*words)["fingerprint"])


def test_a_machine_signs_once_the_first_one_trusts_it(
    office: Office, second: Office, station: State, tmp_path: Path
) -> None:
    words = "init-office", "--join", "--name", "hall2"
    assert "nobody compared" in second.run(*words, expect=2).stderr
    assert "another one" in second.run(*words, "--fingerprint", "ab" * 32, expect=6).stderr
    assert not second.path.exists()
    own = join(office, second)
    waits = station.ca_cert, "--fingerprint", station.json("ca", "status")["ca_fingerprint"]
    assert "not trusted by the office's first one" in second.run("station", "trust", "a", *waits, expect=7).stderr
    assert [one["status"] for one in second.run("machine", "list", "--json").json_lines] == ["first", "waiting"]
    assert "another one" in office.run("machine", "trust", "hall2", "--fingerprint", "cd" * 32, expect=6).stderr
    office.run("machine", "trust", "hall2", "--fingerprint", own)
    trust(second, station, "line7")
    journal(station, tmp_path / "1.journal")
    assert second.json("station", "take", tmp_path / "1.journal")["status"] == "taken"
    assert office.json("station", "take", tmp_path / "1.journal")["status"] == "known"
    assert len(list(pem_blocks("CERTIFICATE", second.certificate.read_bytes()))) == 2


def test_a_machine_that_was_removed_signs_nothing_more(office: Office, second: Office, station: State) -> None:
    own = join(office, second)
    office.run("machine", "trust", "hall2", "--fingerprint", own)
    trust(second, station, "line7")
    assert "which brokers and stations pin" in office.run("machine", "remove", "office", "--yes", expect=6).stderr
    office.run("machine", "remove", "hall2", "--yes")
    assert "not trusted" in second.run("station", "prefix", "line7", "a-", expect=7).stderr
    office.run("station", "prefix", "line7", "a-")
    assert [one["status"] for one in office.run("machine", "list", "--json").json_lines] == ["first", "removed"]
    assert "no machine 'hall2'" in office.run("machine", "remove", "hall2", "--yes", expect=5).stderr


def test_a_call_to_join_that_was_killed_is_finished_by_the_same_one(office: Office, second: Office) -> None:
    words = "init-office", "--join", "--name", "hall2", "--fingerprint", first_fingerprint(office)
    for step in range(1, 60, 3):
        if second.run(*words, before=die_at(step), expect=(0, 4, KILLED)).exit_code != KILLED:
            break
    assert step > 3
    assert [one["status"] for one in office.run("machine", "list", "--json").json_lines] == ["first", "waiting"]


def test_two_machines_take_at_once(
    office: Office, second: Office, station: State, other_station: State, tmp_path: Path
) -> None:
    office.run("machine", "trust", "hall2", "--fingerprint", join(office, second))
    stick = tmp_path / "stick"
    stick.mkdir()
    for name, state in (("line7", station), ("line8", other_station)):
        trust(office, state, name)
        journal(state, stick / f"{name}.journal")
    calls = []
    for one in (office, second, office, second):
        environment = program_environment(
            state=one.path,
            env={"IOTONBOARD_PASSPHRASE_FILE": str(one.passphrase_file), "DATABASE_URL": one.url or None},
        )
        words = [*PROGRAM, "station", "take", str(stick)]
        calls.append(subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    told = [call.communicate(timeout=60) for call in calls]
    assert [call.returncode for call in calls] == [0] * 4, told
    assert sum(out.count(b"\ttaken\t") for out, _ in told) == 2
    for one in (office, second):
        assert one.json("station", "show", "line7")["journals"] == 1
        assert "warning" not in one.run("station", "list").stderr
