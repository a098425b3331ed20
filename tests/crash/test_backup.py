"""A restored backup never forgets a revocation and never uses a CRL number twice."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from support.faults import KILLED, die_at, refuse_at
from support.program import PROGRAM, State, program_environment, run_cli


def serials_on(crl: Path) -> set[str]:
    text = subprocess.run(["openssl", "crl", "-in", crl, "-noout", "-text"], capture_output=True, text=True, check=True)
    return {line.split(":")[1].strip() for line in text.stdout.splitlines() if "Serial Number:" in line}


def reasons_on(crl: Path) -> list[x509.CRLReason | None]:
    """The reasonCode of each entry, in the order of the list; an entry without one is left out."""
    entries = x509.load_pem_x509_crl(crl.read_bytes())
    return [extension.value for entry in entries for extension in entry.extensions]  # type: ignore[misc]


@pytest.fixture
def grown(state: State, tmp_path: Path) -> tuple[State, Path]:
    """A backup of {a revoked, b}, and a state that went on: b and c revoked, d registered."""
    state.register("a", "b")
    state.run("revoke", "a")
    state.run("backup", tmp_path / "backup.zip")
    state.run("revoke", "b")
    state.register("c", "d")
    state.run("revoke", "c")
    return state, tmp_path / "backup.zip"


def restore(state: State, backup: Path, *options: str | Path) -> State:
    other = State(backup.parent / "restored", state.passphrase_file)
    run_cli("restore", backup, *options, state=other)
    return other


def test_restore_takes_up_the_newest_crl(grown: tuple[State, Path]) -> None:
    state, backup = grown
    known = state.json("gen-crl")["crl_number"]
    other = restore(state, backup, "--crl", state.crl)
    assert serials_on(other.crl) == serials_on(state.crl)
    assert len(serials_on(other.crl)) == 3
    assert other.json("gen-crl")["crl_number"] == known + 2
    assert other.json("show", "b")["status"] == "revoked"
    assert "user b" not in other.acl.read_text()
    other.run("audit", "verify")


def test_restore_without_a_crl_must_be_asked_for_and_jumps(grown: tuple[State, Path]) -> None:
    state, backup = grown
    other = State(backup.parent / "x", state.passphrase_file)
    assert "--crl" in run_cli("restore", backup, state=other, expect=2).stderr
    other = restore(state, backup, "--no-crl")
    assert other.json("gen-crl")["crl_number"] > 1_000_000


def test_a_certificate_issued_after_the_backup_can_be_revoked_from_its_file(grown: tuple[State, Path]) -> None:
    state, backup = grown
    other = restore(state, backup, "--crl", state.crl)
    serial = state.json("show", "d")["serial"]
    other.run("revoke", "--cert", state.device("d") / "device.crt")
    assert serial in serials_on(other.crl)
    assert other.json("show", "d")["status"] == "revoked"
    assert other.run("health", "--repair", "--json").json["differences"] == []


def test_a_hold_that_became_final_after_the_backup_stays_final(state: State, tmp_path: Path) -> None:
    state.register("a", "b")
    state.run("revoke", "a", "--reason", "certificateHold")
    state.run("revoke", "b", "--reason", "superseded")
    state.run("backup", tmp_path / "backup.zip")
    state.run("revoke", "a", "b", "--reason", "keyCompromise")
    other = restore(state, tmp_path / "backup.zip", "--crl", state.crl)
    assert [entry.reason.value for entry in reasons_on(other.crl)] == ["keyCompromise", "keyCompromise"]
    other.run("release", "a", expect=4)
    assert other.json("show", "a")["status"] == "revoked"
    other.run("health", "--deep", "--repair", expect=None)
    other.run("health", "--deep")


@pytest.mark.parametrize("reason", ["certificateHold", "keyCompromise"])
def test_an_adopted_certificate_is_on_the_crl_once(grown: tuple[State, Path], reason: str) -> None:
    state, backup = grown
    state.run("revoke", "d", "--reason", reason)
    other = restore(state, backup, "--crl", state.crl)
    answer = other.json("revoke", "--cert", state.device("d") / "device.crt", "--reason", "superseded")
    assert answer["reason"] == ("superseded" if reason == "certificateHold" else reason)
    listed = [entry.reason.value for entry in reasons_on(other.crl)]
    assert listed == [answer["reason"]]  # the other three have none
    assert len(serials_on(other.crl)) == len(list(x509.load_pem_x509_crl(other.crl.read_bytes()))) == 4


def test_a_foreign_certificate_is_not_adopted(state: State, tmp_path: Path) -> None:
    key, certificate = tmp_path / "k.pem", tmp_path / "c.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run([*words, "-subj", "/CN=b", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    before = state.snapshot()
    state.run("revoke", "--cert", certificate, expect=6)
    state.run("revoke", "--cert", state.ca_cert, expect=6)
    assert state.snapshot() == before


def test_bad_restores_leave_nothing_behind(grown: tuple[State, Path], tmp_path: Path) -> None:
    state, backup = grown
    place = State(tmp_path / "place", state.passphrase_file)
    wrong = {"IOTONBOARD_PASSPHRASE_FILE": None, "IOTONBOARD_PASSPHRASE": "wrong"}
    run_cli("restore", backup, "--no-crl", state=place, env=wrong, expect=7)
    damaged = tmp_path / "damaged.zip"
    octets = bytearray(backup.read_bytes())
    octets[len(octets) // 3] ^= 1
    damaged.write_bytes(octets)
    run_cli("restore", damaged, "--no-crl", state=place, expect=6)
    damaged.write_bytes(b"not a backup")
    run_cli("restore", damaged, "--no-crl", state=place, expect=6)
    run_cli("init-ca", "--generate-key-file", tmp_path / "k", state=tmp_path / "other")
    other_crl = tmp_path / "other" / "certs" / "crl.pem"
    run_cli("restore", backup, "--crl", other_crl, state=place, expect=6)
    assert not place.path.exists()
    run_cli("restore", backup, "--no-crl", state=state, expect=4)


def last_backup(state: State) -> dict[str, str]:
    (found,) = state.run("health", "--check", "backup", "--json", expect=(0, 9)).json["checks"]
    return found


def newest_row(state: State) -> dict[str, Any]:
    return state.run("audit", "show", "--subject", "backup", "--json").json_lines[-1]


def test_a_backup_counts_when_it_was_read_back_and_a_failure_is_told(state: State, tmp_path: Path) -> None:
    assert last_backup(state)["status"] == "ok"
    for words, code in ((tmp_path / "no" / "b.zip", 8), (state.acl, 4)):
        state.run("backup", words, expect=code)
        assert last_backup(state)["status"] == "warning"
        assert "failed" in last_backup(state)["message"]
        failure = newest_row(state)
        assert failure["detail"]["path"] == str(words)
        assert failure["detail"]["failed"]
    state.run("backup", tmp_path / "b.zip", env={"IOTONBOARD_PASSPHRASE_FILE": str(state.acl)}, expect=7)
    assert last_backup(state)["status"] == "warning"
    made = state.json("backup", tmp_path / "b.zip")
    assert last_backup(state)["status"] == "ok"
    assert newest_row(state)["detail"]["sha256"] == made["sha256"]
    state.run("audit", "verify")


def test_a_killed_backup_counts_as_failed(state: State, tmp_path: Path) -> None:
    """At every step: what says that there is a backup was written when there was one."""
    warned = 0
    for step in range(1, 200, 6):
        backup = tmp_path / f"{step}.zip"
        if state.run("backup", backup, before=die_at(step), expect=(0, KILLED)).exit_code == 0:
            break
        rows = [row["detail"] for row in state.run("audit", "show", "--subject", "backup", "--json").json_lines]
        if rows:
            assert last_backup(state)["status"] == ("ok" if "sha256" in rows[-1] else "warning")
            warned += "begun" in rows[-1]
    assert warned > 1
    assert last_backup(state)["status"] == "ok"


@pytest.mark.parametrize("year", [1970, 2200])
def test_files_of_any_date_are_backed_up(grown: tuple[State, Path], tmp_path: Path, year: int) -> None:
    """A disk without a clock dates them 1970, and a ZIP begins in 1980 and ends in 2107."""
    state, _ = grown
    seconds = (year - 1970) * 365 * 86400
    for path in (state.acl, state.certs / "ca.key"):
        os.utime(path, (seconds, seconds))
    state.run("backup", tmp_path / "dated.zip")
    restore(state, tmp_path / "dated.zip", "--crl", state.crl).run("audit", "verify")


def test_a_disk_that_refuses_keeps_no_part_of_a_backup(grown: tuple[State, Path], tmp_path: Path) -> None:
    state, _ = grown
    target = tmp_path / "disk" / "b.zip"
    target.parent.mkdir()
    refused = 0
    for step in range(1, 40, 3):
        result = state.run("backup", target, before=refuse_at(step, errno.ENOSPC), expect=(0, 8))
        assert "Exception ignored" not in result.stderr
        if result.exit_code == 0:  # so many steps there were not, or it was one that tidies up
            target.unlink()
            continue
        refused += 1
        assert "hint: " in result.stderr
        assert not any(path.stat().st_size for path in target.parent.iterdir()), result
    assert refused > 1
    assert target.parent.exists()
    state.run("backup", target)


def test_backup_refuses_an_existing_file_and_holds_no_clear_text(grown: tuple[State, Path]) -> None:
    state, backup = grown
    before = backup.read_bytes()
    state.run("backup", backup, expect=4)
    assert backup.read_bytes() == before
    assert b"SQLite format" not in before
    assert b"PRIVATE KEY" not in before
    assert backup.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in state.path.iterdir() if entry.name.startswith(".")] == []


def test_backup_is_consistent_while_devices_are_registered(state: State, tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [*PROGRAM, "register", "--count", "400", "--no-bundle", "--json"],
        env=program_environment(state=state),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    state.run("backup", tmp_path / "backup.zip")
    registered = 1 + len(writer.stdout.readlines())
    assert writer.wait() == 0
    assert registered == 400
    other = restore(state, tmp_path / "backup.zip", "--crl", state.crl)
    assert 0 < len(other.run("list", "--json").json_lines) <= 400
    other.run("audit", "verify")
