"""Many processes at once: all succeed by waiting, nothing is lost, numbers are used once."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from support.invariants import check_invariants
from support.program import PROGRAM, State, program_environment


def _crowd(state: State, calls: list[tuple[str, ...]], folder: Path, env: dict[str, str | None]) -> None:
    processes = []
    for number, words in enumerate(calls):
        with (folder / f"{number}.out").open("wb") as out, (folder / f"{number}.err").open("wb") as err:
            command = [*PROGRAM, *words]
            given = program_environment(state=state, env=env)
            processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=given))
    codes = [process.wait(timeout=400) for process in processes]
    for number, code in enumerate(codes):
        complaint = (folder / f"{number}.err").read_text()
        assert code == 0, (calls[number], code, complaint)
        assert "database is locked" not in complaint


def _mixed(processes: int) -> list[tuple[str, ...]]:
    kinds = [
        lambda n: ("register", f"new-{n}"),
        lambda n: ("revoke", f"old-{n}"),
        lambda _: ("gen-crl",),
        lambda _: ("sync-acl",),
        lambda _: ("list", "--json"),
    ]
    return [kinds[number % len(kinds)](number) for number in range(processes)]


# On a busy machine the default of 30 s may be too short for a hundred; the wait is what is tested.
_PATIENT = {"IOTONBOARD_BUSY_TIMEOUT_SECONDS": "300"}


@pytest.mark.parametrize("processes", [15, pytest.param(40, marks=pytest.mark.long)])
def test_mixed_commands_at_once(state: State, tmp_path: Path, processes: int) -> None:
    calls = _mixed(processes)
    old = [words[1] for words in calls if words[0] == "revoke"]
    state.register(*old)
    _crowd(state, calls, tmp_path, _PATIENT)
    check_invariants(state, with_openssl=True)
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as database:
        names = {row[0] for row in database.execute("SELECT device_id FROM device")}
        revoked = {
            row[0]
            for row in database.execute(
                "SELECT c.serial FROM certificate c JOIN device d ON d.id = c.device WHERE d.device_id LIKE 'old-%'"
            )
        }
        numbers = [row[0] for row in database.execute("SELECT number FROM crl")]
    assert names == {words[1] for words in calls if words[0] == "register"} | set(old)
    signed = sum(words[0] in ("revoke", "gen-crl") for words in calls)
    # One more for each 'register' that came between a revocation's record and its signature, and signed for it.
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert len(numbers) >= signed + 1
    listed = {entry.serial_number.to_bytes(20) for entry in x509.load_pem_x509_crl(state.crl.read_bytes())}
    assert listed == revoked


@pytest.mark.parametrize("processes", [12, pytest.param(100, marks=pytest.mark.long)])
def test_registers_at_once(state: State, tmp_path: Path, processes: int) -> None:
    _crowd(state, [("register", f"d-{number}") for number in range(processes)], tmp_path, _PATIENT)
    check_invariants(state)
    assert len(state.run("list", "--json").json_lines) == processes


def test_init_ca_at_once_makes_one_ca(state: State, tmp_path: Path) -> None:
    fresh = State(tmp_path / "fresh", state.passphrase_file)
    processes = [
        subprocess.Popen(
            [*PROGRAM, "init-ca"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=program_environment(state=fresh),
        )
        for _ in range(6)
    ]
    complaints = [process.communicate(timeout=120)[1].decode() for process in processes]
    codes = sorted(process.returncode for process in processes)
    assert codes == [0, 4, 4, 4, 4, 4], complaints
    check_invariants(fresh)


def test_waiting_ends_with_exit_8(state: State) -> None:
    with contextlib.closing(sqlite3.connect(state.path / "devices.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        env = {"IOTONBOARD_BUSY_TIMEOUT_SECONDS": "1"}
        result = state.run("register", "a", env=env, expect=8)
        assert "busy_timeout_seconds" in result.stderr
        assert "database is locked" not in result.stderr
        state.run("list", env=env)
        other.execute("ROLLBACK")
    state.register("a")
