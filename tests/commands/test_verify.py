"""``verify`` as a script meets it: exit codes, JSON, and files without a state."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support.broker import fake_clock
from support.program import State, run_cli
from support.tools import need


def test_a_named_device_is_judged_with_its_message(state: State) -> None:
    state.register("a", "b")
    state.run("revoke", "b")
    answer = state.json("verify", "a", "--topic", "devices/{device_id}/x")
    assert (answer["status"], answer["problems"]) == ("ok", [])
    assert answer["devices"][0]["at_start"]["accepted"]
    assert answer["devices"][0]["message"]["cause"] == "ok"
    assert state.json("verify", "b", expect=9)["devices"][0]["at_start"]["cause"] == "revoked"
    assert (
        state.json("verify", "a", "--topic", "devices/b/x", expect=9)["devices"][0]["message"]["cause"] == "acl-denied"
    )


def test_files_are_judged_without_a_state(state: State, tmp_path: Path) -> None:
    words = ("verify", "--acl", state.acl, "--crl", state.crl, "--ca", state.ca_cert)
    run_cli(*words, state=tmp_path / "none")
    assert "crl-expired" in run_cli(*words, "--at", "2035-01-01T00:00:00Z", expect=9).stdout
    state.crl.write_bytes(b"")
    (problem,) = run_cli(*words, "--json", expect=9).json["problems"]
    assert problem["code"] == "crl-unreadable"
    assert problem["at_reload"] == "the broker admits revoked devices"
    (ends,) = run_cli(*words, "--broker", "mosquitto-2.1", "--json", expect=9).json["problems"]
    assert ends["at_reload"] == "the broker ends"


def test_a_bad_time_and_an_unknown_device_are_refused(state: State) -> None:
    for text in ("tomorrow", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        assert f"{text!r} is not a time" in state.run("verify", "--at", text, expect=2).stderr
    state.run("verify", "nobody", expect=5)


def test_a_topic_that_nobody_could_try_is_refused(state: State) -> None:
    """Both would be answered as if the ACL had been asked."""
    state.register("a")
    for topic in ("devices/{device_id}/#", "devices/+/x"):
        said = state.run("verify", "a", "--topic", topic, "--access", "read", expect=2).stderr
        assert "has a wildcard" in said
    assert "none is named" in state.run("verify", "--topic", "devices/a/x", expect=2).stderr


def test_a_file_without_a_certificate_is_named(state: State) -> None:
    said = state.run("verify", "--cert", state.acl, expect=6).stderr
    assert f"{str(state.acl)!r}: no 'CERTIFICATE' block in it" in said


def test_a_device_is_judged_by_the_certificate_of_that_time(state: State, tmp_path: Path) -> None:
    need("faketime")
    state.register("a")
    later = fake_clock(tmp_path / "clock")
    (tmp_path / "clock").write_text("+20d")
    state.run("renew", "a", "--no-bundle", "--revoke-old", "now", env=later)
    found = state.run("verify", "a", "--json", env=later).json["devices"][0]
    assert (found["at_start"]["cause"], [one["cause"] for one in found["older"]]) == ("ok", ["revoked"])
    said = state.run("verify", "a", env=later).stderr
    assert "with an older certificate, a is refused: its certificate is revoked" in said

    first = state.path / "generations" / "00000001"
    files = ("--crl", first / "crl.pem", "--acl", state.acl)
    at = (datetime.now(UTC) + timedelta(days=10)).isoformat(timespec="seconds")
    (then,) = state.json("verify", "a", *files, "--at", at)["devices"]
    assert (then["at_start"]["cause"], then["older"]) == ("ok", [])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="changes owners: needs root")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o600])
def test_what_the_brokers_user_cannot_read_is_named(state: State, mode: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        acl = Path(shutil.copy(state.acl, folder))
        crl, ca = Path(shutil.copy(state.crl, folder)), Path(shutil.copy(state.ca_cert, folder))
        crl.chmod(0o644)
        ca.chmod(0o644)
        acl.chmod(mode)
        words = ("verify", "--user", "nobody", "--acl", acl, "--crl", crl, "--ca", ca, "--json")
        said = [one["code"] for one in run_cli(*words, expect=None).json["problems"]]
        read = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "cat", str(acl)]
        can_read = subprocess.run(read, capture_output=True, check=False).returncode == 0
        assert said == ([] if can_read else ["acl-unreadable"])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="changes owners: needs root")
def test_nothing_is_published_that_the_brokers_user_could_not_read(state: State) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        acl, crl = Path(folder, "acl"), Path(folder, "crl.pem")
        for words in (("broker_acl_file", acl), ("broker_crl_file", crl), ("broker.user", "nobody")):
            state.run("config", "set", *words)
        state.run("gen-crl")
        assert [(path.owner(), path.stat().st_mode & 0o777) for path in (acl, crl)] == [("nobody", 0o644)] * 2
        assert state.json("verify")["problems"] == []
        before = acl.read_bytes(), crl.read_bytes()

        Path(folder).chmod(0o700)
        for words in (("register", "press-1"), ("gen-crl",), ("sync-acl",)):
            refused = state.run(*words, expect=8)
            assert f"the broker's user 'nobody' cannot read it: it may not enter '{folder}'" in refused.stderr
            assert "hint: set broker.group and broker.mode" in refused.stderr
        assert (acl.read_bytes(), crl.read_bytes(), len(os.listdir(folder))) == (*before, 2)
        assert "broker-files" in state.run("health", expect=9).stdout
        assert [one["code"] for one in state.json("verify", expect=9)["problems"]] == [
            "acl-unreadable",
            "crl-unreadable",
        ]

        Path(folder).chmod(0o755)
        for words in (("broker.user", "root"), ("broker.group", "nogroup"), ("broker.mode", "0600")):
            state.run("config", "set", *words)
        assert "the broker's group 'nogroup' cannot read it" in state.run("sync-acl", expect=8).stderr
        state.run("config", "set", "broker.mode", "0640")
        state.run("gen-crl")
        assert state.json("verify")["problems"] == []
        assert b"user press-1" in acl.read_bytes()
