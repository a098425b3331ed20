"""AWS and Azure without a network: the proof that the CA has its key, lists of devices, and what they would refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from support.program import State, make_state
from support.tools import need, need_module

CODE = "9D2C8A41F07B" * 5 + "0A1B"  # 64 characters, as AWS gives them


@pytest.fixture
def plant(state: State) -> State:
    """Devices of each status: valid, revoked, on hold, and one that came back with a new certificate."""
    state.register("press-1", "press-2", "press-3", "press-4")
    state.run("revoke", "press-2")
    state.run("revoke", "press-3", "--reason", "hold")
    state.run("revoke", "press-4")
    state.run("register", "press-4", "--if-exists", "reissue")
    return state


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def prove(state: State, out: Path, *words: str, **options: Any) -> x509.Certificate:
    state.run("ca", "proof", CODE, "--out", out, *words, **options)
    return x509.load_pem_x509_certificate(out.read_bytes())


def test_a_proof_has_the_code_for_a_name_and_opens_nothing(state: State, tmp_path: Path) -> None:
    out = tmp_path / "proof.pem"
    answer = state.json("ca", "proof", CODE, "--out", out)
    found = x509.load_pem_x509_certificate(out.read_bytes())
    assert (answer["code"], answer["path"]) == (CODE, str(out))
    assert answer["ca_certificate"] == state.ca_cert.read_text()
    assert answer["serial"] == f"{found.serial_number:X}"
    assert [(one.oid, one.value) for one in found.subject] == [(NameOID.COMMON_NAME, CODE)]
    assert (found.not_valid_after_utc - found.not_valid_before_utc).days == 3
    purposes = list(found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert not {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH} & set(purposes)
    assert not [path for path in (*tmp_path.rglob("*.key"), *tmp_path.rglob("*.pem")) if b"PRIVATE" in path.read_bytes()
                and path.name != "ca.key"]  # fmt: skip
    row = state.run("audit", "show").stdout
    assert f'"proof":"{CODE}"' in row
    assert answer["serial"] in row
    assert state.json("health", "--deep")["status"] == "ok"
    refused = state.run("verify", "--cert", out, expect=9).stdout
    assert "not meant for clients" in refused


def test_a_proof_has_the_subject_of_the_plant_before_the_code(state: State, tmp_path: Path) -> None:
    state.run("config", "set", "subject.organization", "Works")
    assert prove(state, tmp_path / "proof.pem").subject.rfc4514_string() == f"CN={CODE},O=Works"


@pytest.mark.parametrize("purpose", ["sslclient", "sslserver"])
def test_no_server_and_no_client_takes_a_proof(state: State, tmp_path: Path, purpose: str) -> None:
    prove(state, tmp_path / "proof.pem")
    words = [need("openssl"), "verify", "-CAfile", state.ca_cert]
    assert subprocess.run([*words, tmp_path / "proof.pem"], capture_output=True, check=False).returncode == 0
    said = subprocess.run(
        [*words, "-purpose", purpose, tmp_path / "proof.pem"], capture_output=True, text=True, check=False
    )
    assert said.returncode
    assert "purpose" in said.stderr


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("", 6),
        ("two words", 6),
        ("line\nbreak", 6),
        ("x" * 65, 6),
        ("\u00e4", 6),
        ("press-1", 4),
        ("PRESS-1", 4),
        ("localhost", 4),
        ("MQTT", 4),
        ("web-1", 4),
    ],
)
def test_what_is_no_code_or_somebody_s_name_is_refused(state: State, tmp_path: Path, code: str, exit_code: int) -> None:
    state.register("press-1")
    state.run("broker", "issue", "localhost", "mqtt")
    state.run("ca", "add", "servers", "--key-type", "ec-p256")
    state.run("register", "web-1", "--profile", "server", "--set", "host=web.example")
    before = state.snapshot()
    state.run("ca", "proof", code, "--out", tmp_path / "proof.pem", expect=exit_code)
    assert state.snapshot() == before
    assert not (tmp_path / "proof.pem").exists()


def test_a_proof_needs_the_key_and_writes_over_nothing(state: State, tmp_path: Path) -> None:
    out = tmp_path / "proof.pem"
    state.run("ca", "proof", CODE, "--out", tmp_path / "no" / "proof.pem", expect=5)
    state.run("ca", "proof", CODE, "--out", out, env={"IOTONBOARD_PASSPHRASE_FILE": None}, expect=7)
    assert not out.exists()
    assert (found := prove(state, out, "--validity-days", "30"))
    assert "--force" not in state.run("ca", "proof", CODE, "--out", out, expect=4).stderr
    assert x509.load_pem_x509_certificate(out.read_bytes()) == found
    state.run("ca", "proof", CODE, "--out", out, "--validity-days", "31", expect=2)


def test_a_proof_becomes_no_device(state: State, tmp_path: Path) -> None:
    prove(state, tmp_path / "proof.pem")
    told = state.run("revoke", "--cert", tmp_path / "proof.pem", expect=6).stderr
    assert "proof for a cloud" in told
    assert not state.run("list", "--json").stdout


def test_aws_takes_the_proof_the_devices_and_what_disables_them(plant: State, tmp_path: Path) -> None:
    moto, boto3 = need_module("moto"), need_module("boto3")
    prove(plant, tmp_path / "proof.pem")
    (tmp_path / "ids").write_text("press-1\npress-2\npress-3\npress-4\npress-1\n")
    words = ("export", "--batch", tmp_path / "ids", "--format", "aws-bulk", "--out", tmp_path / "all.jsonl")
    answers = {one["device_id"]: one for one in plant.run(*words, "--json").json_lines}
    assert {name: one["status"] for name, one in answers.items()} == {
        "press-1": "enabled", "press-2": "disabled", "press-3": "disabled", "press-4": "enabled"
    }  # fmt: skip
    known, ended = lines(tmp_path / "all.jsonl"), lines(tmp_path / "all.disable.jsonl")
    assert [one["ThingName"] for one in known] == ["press-1", "press-4"]
    assert [one["newStatus"] for one in ended] == ["REVOKED", "INACTIVE", "REVOKED"]
    ca = plant.ca_cert.read_text()
    with moto.mock_aws():
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
        cloud = boto3.client("iot", region_name="eu-central-1", **keys)
        cloud.register_ca_certificate(
            caCertificate=ca, verificationCertificate=(tmp_path / "proof.pem").read_text(), setAsActive=True
        )
        name = cloud.meta.service_model.shape_for("ThingName").metadata
        for one in known:
            assert len(one["ThingName"]) <= name["max"]
            cloud.create_thing(thingName=one["ThingName"])
            cloud.register_certificate(certificatePem=one["CertificatePem"], caCertificatePem=ca, status="ACTIVE")
        update = cloud.meta.service_model.operation_model("UpdateCertificate").input_shape
        statuses = cloud.meta.service_model.shape_for("CertificateStatus").enum
        for one in ended:
            assert not need_module("botocore.validate").ParamValidator().validate(one, update).has_errors()
            assert one["newStatus"] in statuses
    # Of AWS's own certificates the id is the SHA-256 of the DER; moto hashes the PEM.
    assert ended[0]["certificateId"] == plant.json("show", "press-2")["certificates"][0]["fingerprint"]


def test_azure_reads_the_list_back(plant: State, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("device_id\npress-1\npress-2\npress-3\npress-4\n")
    out = tmp_path / "devices.txt"
    plant.run("export", "--batch", tmp_path / "ids", "--format", "azure-import", "--out", out)
    assert [(one["id"], one["importMode"], one["status"]) for one in lines(out)] == [
        ("press-1", "create", "enabled"),
        ("press-2", "update", "disabled"),
        ("press-3", "update", "disabled"),
        ("press-4", "createOrUpdate", "enabled"),
    ]
    find = need_module if sys.version_info < (3, 12) else pytest.importorskip  # PyPI has it for no later one
    models = find("azure.iot.hub.protocol.models")
    for one in lines(out):
        read = models.ExportImportDevice.from_dict(one)
        assert read.serialize() == one
        assert read.validate() == []
    assert '"cloud"' in plant.run("audit", "show", "--json").stdout
    assert plant.json("health", "--deep")["status"] == "ok"


def test_one_device_has_a_list_too_and_an_old_list_disables_nobody(plant: State, tmp_path: Path) -> None:
    words = ("export", "press-3", "--format", "aws-bulk")
    plant.run(*words, cwd=tmp_path)
    assert not (tmp_path / "press-3.jsonl").exists()
    assert len(lines(tmp_path / "press-3.disable.jsonl")) == 1
    plant.run(*words, cwd=tmp_path, expect=4)
    plant.run("release", "press-3")
    plant.run(*words, "--force", cwd=tmp_path)
    assert [one["ThingName"] for one in lines(tmp_path / "press-3.jsonl")] == ["press-3"]
    assert lines(tmp_path / "press-3.disable.jsonl") == []
    (active,) = lines(tmp_path / "press-3.enable.jsonl")
    held = plant.json("show", "press-3")["certificates"][0]["fingerprint"]
    assert active == {"certificateId": held, "newStatus": "ACTIVE"}
    plant.run("revoke", "press-3")
    plant.run(*words, "--force", cwd=tmp_path)
    assert lines(tmp_path / "press-3.enable.jsonl") == []
    assert [one["newStatus"] for one in lines(tmp_path / "press-3.disable.jsonl")] == ["REVOKED"]


def test_a_device_that_came_back_from_a_hold_is_enabled_again_where_it_is(plant: State, tmp_path: Path) -> None:
    plant.run("release", "press-3")
    answer = plant.json("export", "press-3", "--format", "azure-import", "--out", tmp_path / "a.txt")
    assert (answer["status"], answer["enable_path"]) == ("enabled", None)
    (line,) = lines(tmp_path / "a.txt")
    assert (line["importMode"], line["status"]) == ("createOrUpdate", "enabled")
    answer = plant.json("export", "press-3", "--format", "aws-bulk", "--out", tmp_path / "b.jsonl")
    assert answer["enable_path"] == str(tmp_path / "b.enable.jsonl")
    assert answer["disable_path"] is None


def test_a_row_that_the_cloud_refuses_harms_no_other(state: State, tmp_path: Path) -> None:
    state.register("press-1", "press.2")
    state.run("register", "press-3", "--key-type", "ed25519")
    (tmp_path / "ids").write_text("press.2\npress-1\npress-3\nnobody\n")
    words = ("export", "--batch", tmp_path / "ids", "--format", "aws-bulk", "--out")
    answers = state.run(*words, tmp_path / "all.jsonl", "--json", expect=6).json_lines
    assert [one["status"] for one in answers] == ["failed", "enabled", "failed", "failed"]
    assert len(lines(tmp_path / "all.jsonl")) == 1
    (tmp_path / "ids").write_text("press.2\n")
    state.run(*words, tmp_path / "none.jsonl", expect=6)
    assert not (tmp_path / "none.jsonl").exists()
    state.run("export", "press.2", "--format", "aws-bulk", "--out", tmp_path / "none.jsonl", expect=6)
    state.run("export", "press-1", "--format", "aws-bulk", "--out", "-", expect=2)
    state.run("export", "press-1", "--format", "aws-bulk", "--legacy", expect=2)
    told = state.run("export", "press-1", "--format", "aws-bluk", expect=2).stderr
    assert "aws-bulk" in told
    state.run("deliver", "press-1", "--format", "aws-bulk", expect=2)


def test_the_trail_stands_against_a_revocation_that_was_deleted(plant: State, tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    plant.run("revoke", "press-1", "--defer")
    with closing(sqlite3.connect(plant.path / "devices.db")) as database, database:
        database.execute("DELETE FROM revocation WHERE certificate = (SELECT id FROM certificate ORDER BY id LIMIT 1)")
    plant.run("export", "press-1", "--format", "azure-import", "--out", tmp_path / "a.txt", expect=4)
    assert not (tmp_path / "a.txt").exists()


def test_verify_names_what_a_cloud_would_refuse(state: State, tmp_path: Path) -> None:
    state.register("press-1", "press.2", "press_", "old")
    state.run("register", "press-3", "--key-type", "ed25519")
    state.run("register", "node-1", "--profile", "idevid", "--set", "hardware_type=1.3.6.1.4.1.99999.1")
    state.run("revoke", "old")
    before = state.snapshot()
    nobody = {"IOTONBOARD_PASSPHRASE_FILE": None}
    aws = state.json("verify", "--cloud", "aws", env=nobody, expect=9)
    assert [(one["device_id"], one["code"]) for one in aws["problems"]] == [("press-3", "key"), ("press.2", "id")]
    azure = state.json("verify", "--cloud", "azure", env=nobody, expect=9)
    assert sorted((one["device_id"], one["code"]) for one in azure["problems"]) == [
        ("node-1", "name"), ("press-3", "key"), ("press_", "id")
    ]  # fmt: skip
    state.run("verify", "--cloud", "aws", "press-1", env=nobody)
    (told,) = state.json("verify", "--cloud", "aws", "old", env=nobody, expect=9)["problems"]
    assert told["code"] == "certificate"
    crt = state.device("press.2") / "device.crt"
    assert "no dot" in state.run("verify", "--cloud", "aws", "--cert", crt, env=nobody, expect=9).stderr
    state.run("verify", "--cloud", "aws", "--topic", "a", env=nobody, expect=2)
    state.run("verify", "--cloud", "gcp", env=nobody, expect=2)
    state.run("verify", "--cloud", "aws", "nobody", env=nobody, expect=5)
    assert state.snapshot() == before


def test_devices_of_an_added_ca_have_a_list_of_their_own(state: State, tmp_path: Path) -> None:
    state.run("ca", "add", "servers", "--key-type", "ec-p256")
    state.run("register", "web.1", "--profile", "server", "--set", "host=web.example")
    state.run("register", "web-2", "--profile", "server", "--set", "host=web-2.example")
    state.register("press-1")
    found = state.json("verify", "--cloud", "aws", expect=9)
    assert [(one["device_id"], one["code"]) for one in found["problems"]] == [("web.1", "id")]
    assert sorted(one["device_id"] for one in found["devices"]) == ["press-1", "web-2", "web.1"]
    state.run("verify", "--cloud", "aws", "web-2", "press-1")
    state.run("verify", "--cloud", "aws", "nobody", expect=5)
    (tmp_path / "ids").write_text("press-1\nweb-2\n")
    words = ("export", "--batch", tmp_path / "ids", "--format", "aws-bulk", "--out", tmp_path / "all.jsonl")
    answers = state.run(*words, "--json", expect=6).json_lines
    assert [one["status"] for one in answers] == ["enabled", "failed"]
    assert "--ca servers" in answers[1]["error"]["hint"]
    state.run("export", "web-2", "--format", "aws-bulk", "--out", tmp_path / "web.jsonl")
    assert [one["ThingName"] for one in lines(tmp_path / "web.jsonl")] == ["web-2"]
    state.run("export", "web-2", "--ca", "servers", "--format", "azure-import", "--out", tmp_path / "web.txt")


@pytest.mark.parametrize("cloud", ["aws", "azure"])
@pytest.mark.parametrize("is_ca", [True, False])
def test_a_certificate_of_a_file_is_held_against_its_life_and_its_digest(
    state: State, tmp_path: Path, cloud: str, is_ca: bool
) -> None:
    words = [need("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key", "-subj",
             "/CN=old-1", "-sha1", "-days", "1", "-addext", f"basicConstraints=critical,CA:{str(is_ca).upper()}",
             "-out", tmp_path / "old.pem"]  # fmt: skip
    subprocess.run(words, capture_output=True, check=True)
    asked = ("verify", "--cloud", cloud, "--cert", tmp_path / "old.pem")
    assert [one["code"] for one in state.json(*asked, expect=9)["problems"]] == ["signature"]
    after = state.json(*asked, "--at", "2099-01-01", expect=9)["problems"]
    assert [one["code"] for one in after] == ["certificate", "signature"]


def test_no_cloud_takes_a_ca_with_an_ed25519_key(tmp_path: Path) -> None:
    state = make_state(tmp_path, "--key-type", "ed25519")
    state.run("register", "press-1", "--key-type", "ec-p256")
    (told,) = state.json("verify", "--cloud", "azure", expect=9)["problems"]
    assert told["code"] == "ca-key"
    for words in (("ca", "proof", CODE), ("export", "press-1", "--format", "azure-import")):
        assert "Ed25519" in state.run(*words, "--out", tmp_path / "out", expect=6).stderr
    assert not (tmp_path / "out").exists()
