"""Each named check sees what it is for, and what it says to type mends it."""

from __future__ import annotations

import os
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from support.program import State, program_environment
from support.tools import need, run_tool


def finding(state: State, name: str, *, expect: int | None = None) -> dict[str, str]:
    (found,) = state.run("health", "--check", name, "--json", expect=expect).json["checks"]
    return found


def write(path: Path, text: str) -> None:
    path.write_text(text)


def overwrite_page(state: State) -> None:
    """Damage the table of devices as a bad disk does."""
    database = state.path / "devices.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'device'").fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    with database.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xa5" * size)


def leave_unlocked(state: State) -> None:
    words = ("pkey", "-in", state.certs / "ca.key", "-passin", f"file:{state.passphrase_file}")
    run_tool(need("openssl"), *words, "-out", state.path / "plain")
    (state.path / "plain").replace(state.certs / "ca.key")


MENDED: dict[str, tuple[str, str, Callable[[State], object]]] = {
    "a key for all": ("ca-key", "failed", lambda state: (state.certs / "ca.key").chmod(0o644)),
    "no CA file": ("ca-certificate", "failed", lambda state: state.ca_cert.unlink()),
    "a CA file that is none": ("ca-certificate", "failed", lambda state: write(state.ca_cert, "x\n")),
    "no CRL": ("crl", "failed", lambda state: state.crl.unlink()),
    "a CRL that is none": ("crl", "failed", lambda state: write(state.crl, "x\n")),
    "a deferred revocation": ("unpublished", "failed", lambda state: state.run("revoke", "press-1", "--defer")),
    "no ACL": ("acl", "failed", lambda state: state.acl.unlink()),
    "an ACL that lets in more": ("acl", "failed", lambda state: write(state.acl, "user nobody\ntopic read x\n")),
    "no certificate": ("files", "failed", lambda state: (state.device("press-1") / "device.crt").unlink()),
    "an open folder": ("modes", "warning", lambda state: state.certs.chmod(0o755)),
    "an open database": ("modes", "warning", lambda state: (state.path / "devices.db").chmod(0o660)),
    "an open device": ("modes", "warning", lambda state: state.device("press-1").chmod(0o705)),
    "an open key": ("modes", "warning", lambda state: (state.device("press-1") / "device.key").chmod(0o604)),
}


@pytest.mark.skipif(os.name != "posix", reason="modes and shells are POSIX")
@pytest.mark.parametrize("what", MENDED)
def test_what_a_check_says_to_type_mends_it(state: State, what: str) -> None:
    name, status, harm = MENDED[what]
    state.register("press-1")
    assert finding(state, name)["status"] == "ok"
    harm(state)
    found = finding(state, name, expect=9 if status == "failed" else 0)
    assert found["status"] == status, found
    assert found["hint"].startswith("type: "), found
    words = shlex.split(found["hint"].removeprefix("type: "))
    words = [sys.executable, "-m", "iotonboard", *words[1:]] if words[0] == "iotonboard" else words
    subprocess.run(words, env=program_environment(state=state), check=True, capture_output=True)
    assert finding(state, name)["status"] == "ok"


def edit(state: State, statement: str) -> None:
    with closing(sqlite3.connect(state.path / "devices.db")) as connection:
        assert connection.execute(statement).rowcount > 0
        connection.commit()


def make_guessable(state: State) -> None:
    words = ("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-iter", "2048", "-in", state.certs / "ca.key")
    passphrase = f"pass:{state.passphrase_file.read_text().strip()}"
    run_tool(need("openssl"), *words, "-passin", passphrase, "-passout", passphrase, "-out", state.path / "weak")
    (state.path / "weak").replace(state.certs / "ca.key")


def configure(key: str, value: str) -> Callable[[State], object]:
    return lambda state: state.run("config", "set", key, value)


def rewrite(statement: str) -> Callable[[State], object]:
    return lambda state: edit(state, statement)


NAMED: dict[str, tuple[str, str, str, Callable[[State], object]]] = {
    "a clock that went back": (
        "clock", "failed", "accept-clock", rewrite("UPDATE meta SET value = value + 864000 WHERE key = 'last_event'"),
    ),
    "a clock that ran ahead": (
        "clock", "failed", "accept-clock", rewrite("UPDATE meta SET value = value - 86400000 WHERE key = 'last_event'"),
    ),
    "a CA too short": ("ca-certificate", "warning", "ca rollover begin", configure("cert_validity_days", "36500")),
    "a CA that ended": (
        "ca-certificate", "failed", "ca rollover begin", rewrite("UPDATE issuer SET not_after = 2, not_before = 1"),
    ),
    "a CRL near its end": ("crl", "warning", "type: iotonboard gen-crl", configure("crl_next_update_days", "365")),
    "a CRL that ended": ("crl", "failed", "type: iotonboard gen-crl", rewrite("UPDATE crl SET next_update = 2")),
    "an edited trail": ("audit", "failed", "health --deep", rewrite("UPDATE audit SET subject = 'x' WHERE seq = 1")),
    "no backup": ("backup", "warning", "type: iotonboard backup", rewrite("UPDATE issuer SET created_at = 1")),
    "an old backup": (
        "backup", "warning", "type: iotonboard backup",
        rewrite("INSERT INTO meta SELECT 'last_backup', value - 2764800 FROM meta WHERE key = 'last_event'"),
    ),
    "too few rounds": ("passphrase", "warning", "type: iotonboard ca passwd", make_guessable),
}  # fmt: skip


@pytest.mark.parametrize("what", NAMED)
def test_what_a_check_is_for_is_named(state: State, what: str) -> None:
    name, status, hint, harm = NAMED[what]
    assert finding(state, name)["status"] == "ok"
    if what == "an old backup":
        edit(state, "UPDATE issuer SET not_before = 1")
    harm(state)
    found = finding(state, name, expect=9 if status == "failed" else 0)
    assert found["status"] == status, found
    assert hint in found["hint"]


def test_a_full_disk_is_named_with_its_place(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, where a disk says that it is nearly full."""
    import shutil
    from datetime import UTC, datetime

    from iotonboard.commands.health import check
    from iotonboard.model import Caller
    from iotonboard.state.state import open_state

    full = str(state.certs)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=1 << (20 if place == full else 39)))
    with open_state(str(state.path), {}, Caller("x", "x", "health"), lambda: datetime.now(UTC)) as opened:
        (found,) = check(opened, ["disk"])
    assert found.status == "failed"
    assert full in found.message


def test_a_key_that_is_missing_or_in_the_clear(state: State) -> None:
    leave_unlocked(state)
    for name in ("ca-key", "passphrase"):
        assert (finding(state, name)["status"], finding(state, name)["hint"]) == (
            "warning",
            "type: iotonboard ca passwd",
        )
    (state.certs / "ca.key").unlink()
    for name in ("ca-key", "passphrase"):
        found = finding(state, name, expect=9)
        assert "missing" in found["message"]
        assert "iotonboard restore" in found["hint"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_files_of_another_user_are_named(state: State) -> None:
    state.register("press-1")
    for path in (state.path / "devices.db", state.certs / "ca.key", state.device("press-1")):
        os.chown(path, 12345, -1)
        found = finding(state, "modes")
        assert found["status"] == "warning"
        assert str(path) in found["message"]
        assert found["hint"] == f"type: sudo chown -R 0 {state.path}"
        os.chown(path, 0, -1)
    assert finding(state, "modes")["status"] == "ok"
    os.chown(state.path, 12345, -1)
    assert "and you are 0" in finding(state, "modes")["message"]


def test_a_damaged_database_is_found_and_no_defect_of_the_program(state: State) -> None:
    state.register("press-1")
    overwrite_page(state)
    done = state.run("health", "--json", expect=9)
    found = {one["name"]: one for one in done.json["checks"]}
    assert found["database"]["status"] == found["files"]["status"] == "failed"
    assert "backup" in found["database"]["hint"]
    assert found["crl"]["status"] == "ok"
    for words in (("health", "--deep"), ("report", "--out", "-"), ("list",)):
        said = state.run(*words, expect=3).stderr
        assert "is damaged" in said
        assert "hint: restore it from the latest backup" in said


def test_the_checks_are_listed_for_people_and_scripts(state: State) -> None:
    names = [one["name"] for one in state.json("health", "--list")["checks"]]
    assert names == [line.partition("\t")[0] for line in state.run("health", "--list").stdout.splitlines()]
    assert names == [one["name"] for one in state.json("health")["checks"]]
    assert "'crl'" in state.run("health", "--check", "crls", expect=5).stderr
    assert "--list" in state.run("health", "--check", "0", expect=5).stderr
    for words in (("--list", "--deep"), ("--check", "crl", "--deep"), ("--check", "crl", "--list")):
        state.run("health", *words, expect=2)
