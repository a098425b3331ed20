"""The command line is an API: JSON keys, exit codes and streams of every verb, as scripts rely on them."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import iotonboard
import pytest
import pyzipper

from support.client import open_bundle
from support.program import PROGRAM, State, program_environment, run_cli, write_key_file
from support.strange import make_ca, make_crl

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
TIMES = ("not_before", "not_after", "this_update", "next_update", "revocation_date", "created_at")
SERIAL = re.compile(r"(?:[0-9A-F]{2}){8,20}")
FINGERPRINT = re.compile(r"[0-9a-f]{64}")
VERBS = (
    "init-ca",
    "broker",
    "register",
    "show",
    "list",
    "revoke",
    "export",
    "gen-crl",
    "sync-acl",
    "health",
    "config",
    "labels",
    "deliver",
    "deliveries",
    "confirm",
    "purge",
    "bundle",
    "renew",
    "release",
    "retire",
    "verify",
    "pack",
    "apply",
    "generations",
    "topics",
    "expiring",
    "backup",
    "restore",
    "report",
    "audit",
    "ca",
    "accept-clock",
)


def check_answer(answer: dict[str, Any], command: str, keys: str) -> None:
    """What every JSON object carries, and the shape of each value that has one."""
    assert answer["schema"] == 1
    assert answer["command"] == command
    missing = set(keys.split()) - set(answer)
    assert not missing, f"{missing} are not in {answer}"
    check_shapes(answer)


def check_shapes(value: Any, key: str = "") -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            check_shapes(inner, name)
    elif isinstance(value, list):
        for inner in value:
            check_shapes(inner, key.removesuffix("s"))
    elif value is not None and isinstance(value, str):
        if key in TIMES:
            assert TIME.fullmatch(value), (key, value)
        elif key == "serial":
            assert SERIAL.fullmatch(value), (key, value)
        elif key in ("fingerprint", "ca_fingerprint"):
            assert FINGERPRINT.fullmatch(value), (key, value)


@pytest.fixture
def new_ca(tmp_path: Path) -> dict[str, str | None]:
    """The environment for a state that is not there yet, with a key file."""
    key_file = tmp_path / "new-key"
    write_key_file(key_file)
    return {"IOTONBOARD_PASSPHRASE_FILE": str(key_file)}


# -- what each verb answers --------------------------------------------------------------------------------


def test_init_ca(tmp_path: Path, new_ca: dict[str, str | None]) -> None:
    answer = run_cli("init-ca", "--json", state=tmp_path / "fresh", env=new_ca).json
    check_answer(answer, "init-ca", "state ca_fingerprint not_after crl_number")
    assert answer["state"] == str(tmp_path / "fresh")
    assert answer["crl_number"] == 1
    for name in ("devices.db", "mosquitto.acl", "certs/ca.crt", "certs/ca.key", "certs/crl.pem"):
        assert (tmp_path / "fresh" / name).is_file(), name


def test_init_ca_makes_a_key_file_when_asked(tmp_path: Path) -> None:
    key_file = tmp_path / "ca-key-file"
    answer = run_cli("init-ca", "--generate-key-file", key_file, "--json", state=tmp_path / "fresh").json
    check_answer(answer, "init-ca", "state ca_fingerprint not_after crl_number")
    assert re.fullmatch(r"[0-9a-f]{64}", key_file.read_text().strip())
    assert key_file.stat().st_mode & 0o777 == 0o600
    State(tmp_path / "fresh", key_file).register("press-1")
    kept = key_file.read_bytes()
    run_cli("init-ca", "--generate-key-file", key_file, state=tmp_path / "second", expect=4)
    assert key_file.read_bytes() == kept


def test_init_ca_leaves_the_key_in_the_clear_only_when_asked(tmp_path: Path) -> None:
    run_cli("init-ca", state=tmp_path / "fresh", expect=7)
    assert not (tmp_path / "fresh" / "certs" / "ca.key").exists()
    run_cli("init-ca", "--no-passphrase", state=tmp_path / "fresh")
    run_cli("register", "press-1", state=tmp_path / "fresh")


def test_init_ca_refuses_an_existing_state(state: State) -> None:
    before = state.snapshot()
    result = state.run("init-ca", expect=4)
    assert "hint:" in result.stderr
    assert state.snapshot() == before


def test_issue_broker(state: State) -> None:
    answer = state.json("broker", "issue", "broker.example", "192.0.2.7", "--plain-key")
    check_answer(answer, "broker issue", "host serial config")
    assert answer["host"] == "broker.example"
    text = Path(answer["config"]).read_text()
    for line in (
        "require_certificate true",
        "use_identity_as_username true",
        "use_username_as_clientid true",
    ):
        assert re.search(f"(?m)^{line}$", text), line
    assert re.search(r"(?m)^crlfile .*crl\.pem$", text)
    assert re.search(r"(?m)^acl_file .*mosquitto\.acl$", text)


def test_a_broker_key_is_in_the_clear_only_when_asked(state: State) -> None:
    state.run("broker", "issue", "broker.example")
    for key in (state.certs / "brokers" / "broker.example").glob("*.key"):
        assert "ENCRYPTED" in key.read_text(), key
        assert key.stat().st_mode & 0o777 == 0o600


REGISTERED = "device_id serial not_before not_after fingerprint bundle bundle_password created"


def test_register(state: State) -> None:
    (answer,) = state.register("press-1")
    check_answer(answer, "register", REGISTERED)
    assert answer["device_id"] == "press-1"
    assert answer["created"] is True
    assert Path(answer["bundle"]) == state.device("press-1") / "creds.zip"
    assert Path(answer["bundle"]).is_file()
    # 128 bits in an alphabet that can be read aloud.
    assert len(re.sub(r"[^A-Za-z0-9]", "", answer["bundle_password"])) >= 22


def test_register_answers_each_device_on_a_line_of_its_own(state: State) -> None:
    answers = state.register("press-1", "press-2", "press-3")
    assert [answer["device_id"] for answer in answers] == ["press-1", "press-2", "press-3"]
    for answer in answers:
        check_answer(answer, "register", REGISTERED)
    assert len({answer["serial"] for answer in answers}) == 3
    assert len({answer["bundle_password"] for answer in answers}) == 3


def test_register_makes_a_uuid_where_that_is_asked_for(state: State) -> None:
    assert "--uuid" in state.run("register", expect=2).stderr
    state.run("register", "a", "--uuid", expect=2)
    (answer,) = state.register("--uuid")
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", answer["device_id"])


def test_register_count(state: State) -> None:
    answers = state.register("--count", "5")
    assert len({answer["device_id"] for answer in answers}) == 5


def test_register_if_exists(state: State) -> None:
    (first,) = state.register("press-1")
    refused = state.run("register", "press-1", expect=4)
    assert "hint:" in refused.stderr
    (skipped,) = state.register("press-1", "--if-exists", "skip")
    assert (skipped["serial"], skipped["created"]) == (first["serial"], False)
    (again,) = state.register("press-1", "--if-exists", "reissue")
    assert again["serial"] != first["serial"]
    assert len(state.json("show", "press-1")["certificates"]) == 2


def test_register_without_a_bundle(state: State) -> None:
    (answer,) = state.register("press-1", "--no-bundle")
    assert answer["bundle"] is None
    assert not (state.device("press-1") / "creds.zip").exists()


def test_register_with_name_attributes_and_validity(state: State) -> None:
    words = ("--name", "Press in hall 7", "--set", "line=4", "--set", "hall=7", "--validity-days", "30")
    (answer,) = state.register("press-1", *words)
    shown = state.json("show", "press-1")
    assert shown["attributes"] == {"line": "4", "hall": "7"}
    assert shown["name"] == "Press in hall 7"
    assert shown["certificates"][0]["not_after"] == answer["not_after"]


def test_register_writes_passwords_where_asked(state: State, tmp_path: Path) -> None:
    answers = state.register("press-1", "press-2", "--passwords", str(tmp_path / "passwords.csv"))
    assert (tmp_path / "passwords.csv").stat().st_mode & 0o777 == 0o600
    (third,) = state.register("press-3", "--passwords", str(tmp_path / "passwords.csv"))
    rows = list(csv.DictReader((tmp_path / "passwords.csv").read_text().splitlines()))
    for row, answer in zip(rows, [*answers, third], strict=True):
        assert row["device_id"] == answer["device_id"]
        assert answer["bundle_password"] is None, "it is in the file and needs to be nowhere else"
        assert "device.key" in open_bundle(Path(answer["bundle"]), row["bundle_password"])


def test_show(state: State) -> None:
    (registered,) = state.register("press-1")
    answer = state.json("show", "press-1")
    check_answer(answer, "show", "device_id status attributes certificates")
    assert answer["device_id"] == "press-1"
    assert answer["status"] == "active"
    assert answer["certificates"][0]["serial"] == registered["serial"]
    state.run("revoke", "press-1")
    assert state.json("show", "press-1")["status"] == "revoked"


def test_an_id_in_another_case_is_not_found_but_proposed(state: State) -> None:
    state.register("Press-1")
    assert "'Press-1'" in state.run("show", "pRESS-1", expect=5).stderr.partition("hint:")[2]


def test_list(state: State) -> None:
    state.register("press-1", "press-2", "--set", "line=4")
    state.register("press-3", "--set", "line=5", "--validity-days", "10")
    state.run("revoke", "press-2")

    def listed(*filters: str) -> list[str]:
        answers = state.run("list", *filters, "--json").json_lines
        for answer in answers:
            check_answer(answer, "list", "device_id status")
        return [answer["device_id"] for answer in answers]

    assert sorted(listed()) == ["press-1", "press-2", "press-3"]
    assert listed("--status", "revoked") == ["press-2"]
    assert sorted(listed("--status", "active")) == ["press-1", "press-3"]
    assert sorted(listed("--set", "line=4")) == ["press-1", "press-2"]
    assert listed("--expiring-within", "30") == ["press-3"]
    assert len(listed("--limit", "2")) == 2
    assert state.run("list", "--json", "--set", "line=none").stdout == ""


def test_list_as_csv(state: State) -> None:
    state.register("press-1", "--name", 'Press, "the big one"')
    rows = list(csv.DictReader(state.run("list", "--csv").stdout.splitlines()))
    assert rows[0]["device_id"] == "press-1"
    assert rows[0]["name"] == 'Press, "the big one"'


def test_a_csv_list_holds_no_formula(state: State) -> None:
    """A spreadsheet that opens the list must not compute what somebody typed as a name."""
    state.register("press-1", "--name", "=HYPERLINK(0)")
    assert not re.search(r'(?:^|[,;"])=HYPERLINK', state.run("list", "--csv").stdout, re.MULTILINE)


REVOKED = "device_id serials reason revocation_date crl_number"


def test_revoke(state: State) -> None:
    (registered,) = state.register("press-1")
    answer = state.json("revoke", "press-1", "--reason", "keyCompromise")
    check_answer(answer, "revoke", REVOKED)
    assert answer["device_id"] == "press-1"
    assert answer["serials"] == [registered["serial"]]
    assert answer["reason"] == "keyCompromise"
    assert answer["crl_number"] == 2
    assert "press-1" not in state.acl.read_text()


def test_revoke_says_what_the_broker_still_needs(state: State) -> None:
    state.register("press-1")
    said = state.run("revoke", "press-1")
    text = (said.stdout + said.stderr).lower()
    assert "reload" in text or "sighup" in text
    assert "session" in text or "connected" in text


def test_revoking_again_is_done_already(state: State) -> None:
    state.register("press-1")
    first = state.json("revoke", "press-1", "--reason", "superseded")
    again = state.json("revoke", "press-1", "--reason", "cessationOfOperation")
    assert (again["revocation_date"], again["reason"]) == (first["revocation_date"], "superseded")
    assert [one["reason"] for one in state.json("show", "press-1")["certificates"]] == ["superseded"]


def test_revoke_takes_several_devices(state: State) -> None:
    state.register("press-1", "press-2", "press-3")
    answers = state.run("revoke", "press-1", "press-2", "--json").json_lines
    assert [answer["device_id"] for answer in answers] == ["press-1", "press-2"]
    for answer in answers:
        check_answer(answer, "revoke", REVOKED)


def test_revoke_by_serial(state: State) -> None:
    (old,) = state.register("press-1", "--no-bundle")
    answer = state.json("revoke", "--serial", old["serial"])
    assert answer["serials"] == [old["serial"]]
    assert answer["device_id"] == "press-1"


def test_revoke_deferred_needs_no_key_and_is_published_later(state: State) -> None:
    (registered,) = state.register("press-1")
    crl = state.crl.read_bytes()
    keyless = {"IOTONBOARD_PASSPHRASE_FILE": None}
    answer = state.json("revoke", "press-1", "--defer", env=keyless)
    check_answer(answer, "revoke", REVOKED)
    assert answer["crl_number"] is None
    assert state.crl.read_bytes() == crl
    assert state.json("gen-crl")["revoked"] == 1
    assert state.json("show", "press-1")["certificates"][0]["serial"] == registered["serial"]


@pytest.mark.parametrize(
    "reason",
    [
        "unspecified",
        "keyCompromise",
        "affiliationChanged",
        "superseded",
        "cessationOfOperation",
        "certificateHold",
        "privilegeWithdrawn",
        "PRIVILEGEWITHDRAWN",
        "keycompromise",
    ],
)
def test_revoke_takes_the_reasons_of_rfc_5280(state: State, reason: str) -> None:
    state.register("press-1")
    assert state.json("revoke", "press-1", "--reason", reason)["reason"].lower() == reason.lower()


@pytest.mark.parametrize("reason", ["hold", "HOLD", "certificatehold"])
def test_a_hold_is_a_certificate_hold(state: State, reason: str) -> None:
    state.register("press-1")
    assert state.json("revoke", "press-1", "--reason", reason)["reason"] == "certificateHold"
    state.run("release", "press-1")


def test_export(state: State, tmp_path: Path) -> None:
    state.register("press-1")
    answer = state.json("export", "press-1", "--format", "pem", "--out", str(tmp_path / "out"))
    check_answer(answer, "export", "device_id format path")
    assert answer["format"] == "pem"
    assert Path(answer["path"]).exists()
    again = state.run("export", "press-1", "--format", "pem", "--out", tmp_path / "out", expect=4)
    assert "hint:" in again.stderr


def test_export_to_stdout_is_the_data_and_nothing_else(state: State) -> None:
    (registered,) = state.register("press-1")
    done = subprocess.run(
        [*PROGRAM, "export", "press-1", "--format", "zip", "--out", "-"],
        env=program_environment(state=state),
        capture_output=True,
        check=True,
    )
    with pyzipper.AESZipFile(io.BytesIO(done.stdout)) as archive:
        archive.setpassword(registered["bundle_password"].encode())
        assert "device.key" in archive.namelist()
        archive.read("device.key")


def test_gen_crl(state: State) -> None:
    state.register("press-1")
    state.run("revoke", "press-1")
    answer = state.json("gen-crl", "--next-update-days", "7")
    check_answer(answer, "gen-crl", "crl_number this_update next_update revoked path")
    assert answer["crl_number"] == 3
    assert answer["revoked"] == 1
    assert answer["path"] == str(state.crl)


def test_sync_acl(state: State, tmp_path: Path) -> None:
    state.register("press-1", "press-2")
    state.run("revoke", "press-2")
    answer = state.json("sync-acl")
    check_answer(answer, "sync-acl", "path style devices revoked changed")
    assert answer["path"] == str(state.acl)
    assert answer["style"] == "per-device"
    assert answer["changed"] is False

    state.acl.write_text(state.acl.read_text().replace("press-1", "press-9"))
    wrong = state.acl.read_bytes()
    checked = state.run("sync-acl", "--check", "--json", expect=9)
    assert checked.json["changed"] is True
    assert state.acl.read_bytes() == wrong
    assert state.json("sync-acl")["changed"] is True
    state.run("sync-acl", "--check")
    out = tmp_path / "elsewhere.acl"
    state.run("sync-acl", "--out", out)
    assert out.read_text() == state.acl.read_text()


def test_sync_acl_in_the_style_that_scales(state: State) -> None:
    state.register("press-1", "press-2")
    state.run("revoke", "press-2")
    assert state.json("sync-acl", "--style", "pattern")["style"] == "pattern"
    text = state.acl.read_text()
    assert "pattern readwrite devices/%u/#" in text
    assert "user press-2\ntopic deny #" in text
    assert "user press-1" not in text


def test_health(state: State) -> None:
    state.register("press-1")
    answer = state.json("health")
    check_answer(answer, "health", "status checks")
    assert answer["status"] == "ok"
    for check in answer["checks"]:
        assert {"name", "status"} <= set(check)
    assert len({check["name"] for check in answer["checks"]}) >= 6


def test_health_finds_what_is_wrong(state: State) -> None:
    state.register("press-1")
    state.run("revoke", "press-1", "--defer")
    shutil.copy(state.certs / "ca.crt", state.crl)
    result = state.run("health", "--json", expect=9)
    broken = {check["name"] for check in result.json["checks"] if check["status"] != "ok"}
    assert "crl" in broken
    assert len(broken) >= 2
    assert result.json["status"] != "ok"


def test_config(state: State) -> None:
    answer = state.json("config", "show")
    assert answer["schema"] == 1
    text = json.dumps(answer)
    for key in (
        "database_url",
        "cert_validity_days",
        "ca_root_path",
        "broker_acl_file",
        "download_expiry_minutes",
    ):
        assert key in text
    state.run("config", "set", "cert_validity_days", "90")
    state.register("press-1")
    shown = state.json("config", "show", env={"CERT_VALIDITY_DAYS": "80", "IOTONBOARD_KEY_TYPE": "ec-p384"})
    settings = settings_of(shown)
    assert settings["cert_validity_days"] == (80, "CERT_VALIDITY_DAYS")
    assert settings["key_type"] == ("ec-p384", "IOTONBOARD_KEY_TYPE")
    assert settings_of(state.json("config", "show"))["cert_validity_days"] == (90, "tightened")
    assert settings["download_expiry_minutes"] == (30, "default")


def settings_of(shown: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    return {key: (one["value"], one["source"]) for key, one in shown["settings"].items()}


def days_of(answer: dict[str, Any]) -> int:
    begin, end = (datetime.fromisoformat(answer[key]) for key in ("not_before", "not_after"))
    return (end - begin).days


def test_configuration_precedence(state: State) -> None:
    """Flag > IOTONBOARD_<KEY> > plain name > file > default."""
    plain = {"CERT_VALIDITY_DAYS": "20"}
    prefixed = {**plain, "IOTONBOARD_CERT_VALIDITY_DAYS": "30"}
    assert days_of(state.register("p-default")[0]) == 365
    state.run("config", "set", "cert_validity_days", "10")
    assert days_of(state.register("p-file")[0]) == 10
    assert days_of(state.register("p-plain", env=plain)[0]) == 20
    assert days_of(state.register("p-prefixed", env=prefixed)[0]) == 30
    assert days_of(state.register("p-flag", "--validity-days", "40", env=prefixed)[0]) == 40


def test_files_go_where_the_plain_names_say(tmp_path: Path, new_ca: dict[str, str | None]) -> None:
    places = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/elsewhere/registry.db",
        "CA_ROOT_PATH": str(tmp_path / "disk"),
        "BROKER_ACL_FILE": str(tmp_path / "broker.acl"),
    }
    env = {**new_ca, **places}
    run_cli("init-ca", state=tmp_path / "fresh", env=env)
    run_cli("register", "press-1", state=tmp_path / "fresh", env=env)
    assert (tmp_path / "elsewhere" / "registry.db").is_file()
    assert (tmp_path / "disk" / "ca.key").is_file()
    assert (tmp_path / "disk" / "devices" / "press-1" / "creds.zip").is_file()
    assert "press-1" in (tmp_path / "broker.acl").read_text()


# In this order on one state; each with its exit code and the keys of its answer.
LATER_VERBS = (
    ("renew press-1", 0, "device_id status serial not_before not_after fingerprint bundle bundle_password renews"),
    ("deliver press-1", 0, "device_id serial path link sha256 expires_at"),
    ("deliveries", 0, "device_id serial status created_at expires_at path sha256"),
    ("confirm press-1", 0, "device_id serial fingerprint confirmed_at"),
    ("bundle password press-1", 0, "device_id serial bundle_password"),
    ("topics add press-1 read:plant/x", 0, "device_id topics templates changed"),
    ("topics list press-1", 0, "device_id topics templates changed"),
    ("verify press-1", 0, "status broker at problems devices"),
    ("expiring --within 400", 9, "kind name not_after key"),
    ("purge press-1", 0, "device_id serials purged_at"),
    ("revoke press-2 --reason certificateHold", 0, "device_id serials reason revocation_date crl_number"),
    ("release press-2", 0, "device_id serials crl_number"),
    ("retire press-2", 0, "device_id serials changed crl_number"),
    ("ca rollover begin", 0, "status name ca_fingerprint not_after crl_number cas"),
    ("ca rollover", 0, "status name ca_fingerprint not_after crl_number cas"),
    ("ca status", 0, "status name ca_fingerprint not_after crl_number cas"),
    ("renew --old-ca", 0, "device_id status serial revoke_after"),
    ("ca trust add HERE/old.crt --crl HERE/old.crl", 0, "changed cas"),
    ("ca trust list", 0, "changed cas"),
    ("ca trust remove HERE/old.crt", 0, "changed cas"),
    ("audit show --subject press-3", 0, "seq time operator host subject serial detail verb"),
    ("audit head", 0, "head seq hash"),
    ("audit verify", 0, "rows broken_row problem"),
    ("pack --out HERE/package", 0, "path counter created expires crl_number size files"),
    ("apply HERE/package --ca CA --dest HERE/dest --user root", 0, "counter path crl_number changed reloaded"),
    ("generations", 0, "generation created crl_numbers next_update revoked path"),
    ("report", 0, "title made_at ca_not_after ca_fingerprint statuses checks audit_head"),
    ("backup HERE/backup.zip", 0, "path sha256 devices crl_number audit_seq"),
    ("restore HERE/backup.zip --state HERE/restored --crl CRL", 0, "state devices taken_up crl_number"),
    ("accept-clock", 0, "last_event now"),
    ("ca passwd --generate-key-file HERE/new-pass", 0, "key_files"),
)


GROUPS = ("audit", "broker", "bundle", "ca", "topics")


@pytest.mark.parametrize("loudness", ["", "--verbose", "--quiet"])
def test_the_later_verbs_answer_in_json_alone(state: State, tmp_path: Path, loudness: str) -> None:
    places = {"HERE": str(tmp_path), "CA": str(state.ca_cert), "CRL": str(state.crl)}
    (tmp_path / "dest").mkdir()
    old = make_ca("Old CA")
    (tmp_path / "old.crt").write_bytes(old.pem)
    (tmp_path / "old.crl").write_bytes(make_crl(old))
    state.register("press-1", "press-2", "press-3")
    for line, exit_code, keys in LATER_VERBS:
        words = [re.sub("HERE|CRL|CA", lambda found: places[found[0]], word) for word in line.split()]
        result = state.run(*words, *loudness.split(), "--json", expect=exit_code)
        assert loudness != "--quiet" or result.stderr == "", result
        length = 3 if words[:2] == ["ca", "trust"] else 2 if words[0] in GROUPS else 1
        verb = " ".join(words[:length])
        for answer in result.json_lines:
            check_answer(answer, verb, keys)
        assert result.stdout, result


# -- streams, options and prompts --------------------------------------------------------------------------


READY_WORDS = {
    "register": ("press-2",),
    "show": ("press-1",),
    "revoke": ("press-1",),
    "export": ("press-1", "--format", "pem", "--out", "out"),
}


@pytest.mark.parametrize("loudness", ["", "--verbose", "--quiet"])
@pytest.mark.parametrize("verb", ["register", "list", "show", "revoke", "gen-crl", "sync-acl", "health", "export"])
def test_json_is_all_that_stdout_holds(state: State, tmp_path: Path, verb: str, loudness: str) -> None:
    state.register("press-1")
    result = state.run(verb, *READY_WORDS.get(verb, ()), *loudness.split(), "--json", cwd=tmp_path)
    assert [answer["command"] for answer in result.json_lines] == [verb]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("words", [("show", "press-1"), ("list", "--json"), ("list", "--csv"), ("register", "press-2")])
def test_a_full_disk_behind_stdout_is_said_plainly(state: State, words: tuple[str, ...]) -> None:
    state.register("press-1")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*PROGRAM, *words], env=program_environment(state=state), stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 8, done
    assert b"error: cannot write the result: No space left" in done.stderr
    assert b"Traceback" not in done.stderr
    state.run("register", "press-2", "--if-exists", "skip")


def test_a_reader_that_goes_away_is_no_error(state: State) -> None:
    state.register("press-1")
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*PROGRAM, "show", "press-1"],
        env=program_environment(state=state),
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_quiet_says_nothing_when_all_is_well(state: State) -> None:
    for words in (("register", "press-1"), ("revoke", "press-1"), ("gen-crl",), ("sync-acl",), ("health",)):
        assert state.run(*words, "--quiet").stderr == ""


def test_errors_go_to_stderr_with_a_hint(state: State) -> None:
    result = state.run("show", "press-404", expect=5)
    assert result.stdout == ""
    assert result.stderr.startswith("iotonboard: error: ")
    assert "\niotonboard: hint: " in result.stderr
    assert "Traceback" not in result.stderr


def test_a_refused_device_leaves_the_others_their_answers(state: State) -> None:
    state.register("press-1")
    result = state.run("register", "press-1", "press-2", "--json", expect=4)
    assert [answer["device_id"] for answer in result.json_lines if answer.get("created")] == ["press-2"]
    assert "'press-1'" in result.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(pristine: State, verb: str) -> None:
    result = pristine.run(verb, "--help")
    assert "iotonboard " + verb in result.stdout.partition("xample")[2]
    assert result.stderr == ""


def test_help_names_every_verb() -> None:
    text = run_cli("--help").stdout
    for verb in VERBS:
        assert re.search(rf"(?m)^\W*{verb}\b", text), verb


def test_help_groups_the_verbs() -> None:
    titles = re.findall(r"(?m)^([A-Z][\w ]+):$", run_cli("--help").stdout)
    assert titles == ["Set up", "Devices", "Hand over", "Broker", "Watch", "Office", "CA and state", "Options"]


@pytest.mark.parametrize("verb", ["issue-broker", "ca-rollover", "passwd", "password", "open-bundle"])
def test_no_old_name_of_a_verb_stays(verb: str) -> None:
    run_cli(verb, expect=2)


def test_version() -> None:
    assert run_cli("--version").stdout.split() == ["iotonboard", iotonboard.__version__]


def test_the_state_comes_from_the_option_first(state: State, tmp_path: Path) -> None:
    passphrase = {"IOTONBOARD_PASSPHRASE_FILE": str(state.passphrase_file)}
    run_cli("register", "press-1", "--state", state.path, env=passphrase)
    run_cli("show", "press-1", "--state", state.path, state=tmp_path / "nowhere")
    run_cli("show", "press-1", state=tmp_path / "nowhere", expect=3)
    (tmp_path / "work").mkdir()
    shutil.copytree(state.path, tmp_path / "work" / "iotonboard-state")
    run_cli("show", "press-1", cwd=tmp_path / "work")


@pytest.mark.parametrize(
    "words",
    [("register", "press-2"), ("release", "press-1"), ("gen-crl",), ("broker", "issue", "broker.example")],
)
def test_nothing_prompts_without_a_terminal(state: State, words: tuple[str, ...]) -> None:
    state.register("press-1")
    state.run("revoke", "press-1", "--reason", "certificateHold")
    before = state.snapshot()
    result = state.run(*words, env={"IOTONBOARD_PASSPHRASE_FILE": None}, input="not a passphrase\n", expect=7)
    assert "hint:" in result.stderr
    assert "--passphrase-file" in result.stderr
    assert result.stdout == ""
    assert state.snapshot() == before


def test_the_passphrase_comes_four_ways(state: State) -> None:
    nothing = {"IOTONBOARD_PASSPHRASE_FILE": None}
    text = state.passphrase_file.read_text().strip()
    state.run("register", "by-file-variable")
    state.run("register", "by-file-option", "--passphrase-file", state.passphrase_file, env=nothing)
    state.run("register", "by-stdin", "--passphrase-file", "-", env=nothing, input=text + "\n")
    state.run("register", "by-variable", env={**nothing, "IOTONBOARD_PASSPHRASE": text})


@pytest.mark.parametrize(
    "words",
    [
        ("no-such-verb",),
        ("register", "--no-such-option"),
        ("revoke",),
        ("show",),
        ("register", "--count", "many"),
        ("register", "--count", "-1"),
        ("revoke", "press-1", "--reason", "no-such-reason"),
        ("register", "press-1", "--key-type", "rsa-512"),
        ("register", "press-1", "--if-exists", "overwrite"),
        ("register", "press-1", "--set", "no-equals-sign"),
        ("register", "press-1", "press-2", "--csr", "/dev/null"),
        ("register", "press-1", "--count", "2"),
        ("register", "press-1", "--stream"),
        ("export", "press-1", "--format", "no-such-format", "--out", "-"),
        ("config", "set", "no_such_key", "1"),
    ],
)
def test_a_wrong_command_line_is_exit_2(state: State, words: tuple[str, ...]) -> None:
    before = state.snapshot()
    result = state.run(*words, expect=2)
    assert "Traceback" not in result.stderr
    assert state.snapshot() == before


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_verbs_devices_and_reasons(state: State, shell: str) -> None:
    state.register("press-1", "press-2", "welder-1")

    def completions(line: str) -> str:
        words = {
            "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)},
            "zsh": {"_TYPER_COMPLETE_ARGS": line},
            "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
        }[shell]
        env = {"_IOTONBOARD_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line, **words}
        # The console script's own name decides which variable is looked at.
        start = "import sys; sys.argv[0] = 'iotonboard'; from iotonboard.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", start],
            env=program_environment(state=state, env=env),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout

    assert "register" in completions("iotonboard reg")
    shown = completions("iotonboard show pre")
    assert "press-1" in shown
    assert "press-2" in shown
    assert "welder-1" not in shown
    assert "keyCompromise" in completions("iotonboard revoke press-1 --reason key")
    assert "zephyr" in completions("iotonboard export press-1 --format z")
    assert "acl.style" in completions("iotonboard config set acl.s")
    assert "pattern" in completions("iotonboard config set acl.style pa")
    assert "clock" in completions("iotonboard health --check cl")
    assert "on-hold" in completions("iotonboard list --status on")
    assert "renew" in completions("iotonboard audit show --command rene")
