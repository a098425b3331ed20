"""Whose names and topics are whose: an operator's user is no device by accident, and no rule opens other devices'."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from support.program import State, run_cli

OWN_RULES = """# the control room
user admin
topic readwrite #
user Viewer \t
topic read plant/#
"""


@pytest.fixture
def plant(state: State) -> State:
    """A state whose ACL has rules of the operator's above the region, and below it."""
    state.register("press-1")
    state.acl.write_text(OWN_RULES + state.acl.read_text() + "user below\ntopic read x\n")
    return state


def below(plant: State) -> int:
    """The line of the user below the region, who is moved by the devices in it."""
    return len(plant.acl.read_text().splitlines()) - 1


@pytest.mark.parametrize(("name", "line"), [("admin", 2), ("ADMIN", 2), ("viewer", 4), ("Viewer", 4), ("below", 0)])
def test_a_user_of_the_operators_is_not_registered_by_accident(plant: State, name: str, line: int) -> None:
    line = line or below(plant)
    said = plant.run("register", name, expect=6).stderr
    assert f"in line {line} of" in said
    assert "--own-rules" in said
    plant.run("show", name, expect=5)
    plant.run("register", name, "--own-rules")
    assert plant.run("audit", "show", "--subject", name, "--json").json_lines[-1]["detail"]["own_rules"] is True
    (finding,) = plant.json("health", "--check", "own-rules")["checks"]
    assert finding["status"] == "warning"
    assert f"line {below(plant) if name == 'below' else line} of" in finding["message"]
    (problem,) = plant.json("verify")["problems"]
    assert (problem["code"], problem["status"]) == ("own-rules", "warning")
    plant.run("revoke", name)
    assert plant.json("health", "--check", "own-rules")["checks"][0]["status"] == "ok"
    assert plant.json("verify")["problems"] == []
    plant.run("register", name, "--if-exists", "reissue", expect=6)  # it would have the rights again


def test_every_way_in_asks(plant: State, tmp_path: Path) -> None:
    rows, stream = tmp_path / "list.csv", "admin\npress-2\n"
    rows.write_text("device_id\nAdmin\npress-3\n")
    (tmp_path / "requests").mkdir()
    csr = tmp_path / "requests" / "viewer.csr"
    words = ("openssl", "req", "-new", "-newkey", "ed25519", "-nodes", "-subj", "/CN=x", "-keyout", tmp_path / "key")
    subprocess.run([*words, "-out", csr], check=True, capture_output=True)
    assert "line 2" in plant.run("register", "--batch", rows, expect=6).stderr
    assert "line 4" in plant.run("register", "--csr-dir", csr.parent, expect=6).stderr
    assert "line 4" in plant.run("register", "viewer", "--csr", csr, expect=6).stderr
    answers = plant.run("register", "--stream", input=stream, expect=None).json_lines
    assert [answer["status"] for answer in answers] == ["failed", "created"]
    assert [row["device_id"] for row in plant.run("list", "--json").json_lines] == ["press-1", "press-2", "press-3"]
    assert plant.json("health", "--check", "own-rules")["checks"][0]["status"] == "ok"
    plant.run("register", "press-1", "--if-exists", "reissue")


def test_an_acl_that_cannot_be_read_is_told_once_and_stops_nobody(plant: State, tmp_path: Path) -> None:
    plant.acl.write_text(plant.acl.read_text().replace("# END iotonboard", "# END"))
    done = plant.run("register", "admin", "press-2", expect=None)
    assert done.stderr.count("no id is compared") == 1
    assert {row["device_id"] for row in plant.run("list", "--json").json_lines} == {"press-1", "admin", "press-2"}
    assert tmp_path


def test_verify_without_a_state_names_the_certificates_it_is_given(plant: State, tmp_path: Path) -> None:
    plant.run("register", "admin", "--own-rules")
    files = {"acl": plant.acl, "crl": plant.certs / "crl.pem", "ca": plant.certs / "ca.crt"}
    words = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    device = plant.certs / "devices" / "admin" / "device.crt"
    judged = json.loads(run_cli("verify", *words, "--cert", device, "--json", state=None, cwd=tmp_path).stdout)
    assert [problem["code"] for problem in judged["problems"]] == ["own-rules"]


@pytest.mark.parametrize("rule", ["read:#", "read:devices/#", "write:+/+/x", "read:devices/press-2/state"])
def test_a_template_that_reaches_other_devices_is_said_twice(state: State, rule: str) -> None:
    default = "readwrite:devices/{device_id}/#"
    for value in (rule, f"{default},{rule}"):
        assert "--yes" in state.run("config", "set", "acl.topics", value, expect=6).stderr
    state.run("config", "set", "acl.topics", f"{default},{rule}", "--yes")
    state.run("config", "set", "acl.topics", f"{default},{rule},read:plant/#,deny:devices/+/secret")  # not asked again


def test_a_rule_of_one_device_that_reaches_another_is_said_twice(state: State, tmp_path: Path) -> None:
    rule, own, rows = "read:devices/press-2/state", "read:devices/press-1/cmd", tmp_path / "list.csv"
    assert "--yes" in state.run("register", "press-1", "--topic", rule, expect=6).stderr
    state.run("show", "press-1", expect=5)
    state.run("register", "press-1", "--topic", own, "--topic", "read:plant/config")
    rows.write_text(f"device_id,topics\npress-3,{rule}\npress-4,read:devices/press-4/x\n")
    assert "line 2" in state.run("register", "--batch", rows, expect=6).stderr
    assert "--yes" in state.run("topics", "add", "press-1", rule, expect=6).stderr
    assert "press-2" not in state.acl.read_text()
    state.run("topics", "add", "press-1", rule, "--yes")
    state.run("topics", "add", "press-1", "deny:devices/press-2/secret")
    state.run("register", "--batch", rows, "--if-exists", "skip", "--yes")
    assert state.acl.read_text().count("topic read devices/press-2/state") == 2
    state.run("topics", "remove", "press-1", rule)
