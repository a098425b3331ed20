"""``broker``: what issuing again keeps, which key it makes, and the folder that a broker on this machine reads."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from support.faults import KILLED, die_at
from support.program import State, make_state

OWN_USER = ("--user", "root") if hasattr(os, "geteuid") and os.geteuid() == 0 else ()


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def names_in(path: Path) -> list[str]:
    names = certificate(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


def belongs_together(folder: Path) -> bool:
    key = load_pem_private_key((folder / "broker.key").read_bytes(), None)
    return key.public_key() == certificate(folder / "broker.crt").public_key()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a broker's folder is made; its user may get there."""
    return tmp_path / "iotonboard"


def issue_for(state: State, folder: Path, *words: str, **options: object) -> dict:
    return state.json("broker", "issue", "localhost", "127.0.0.1", "--for", folder, *OWN_USER, *words, **options)


# -- issuing again ----------------------------------------------------------------------------------------------------


def test_issuing_again_keeps_names_port_key_and_says_what_changed(state: State) -> None:
    first = state.json("broker", "issue", "Broker.Example", "192.0.2.7", "2001:DB8::7", "--port", "8884", "--plain-key",
                       "--key-type", "ec-p384")  # fmt: skip
    again = state.json("broker", "issue", "broker.example")
    for key in ("host", "names", "port", "config", "key_type"):
        assert again[key] == first[key], key
    assert first["names"] == ["broker.example", "192.0.2.7", "2001:db8::7"]
    assert (again["changes"], first["changes"]) == ([], [])
    assert again["serial"] != first["serial"]
    key = load_pem_private_key((Path(again["config"]).parent / "broker-plain.key").read_bytes(), None)
    assert key.public_key() == certificate(Path(again["config"]).parent / "broker.crt").public_key()


def test_what_is_said_anew_replaces_what_was(state: State) -> None:
    state.run("broker", "issue", "broker.example", "192.0.2.7")
    changed = state.json("broker", "issue", "broker.example", "mqtt", "--port", "8885", "--key-type", "rsa-2048")
    assert changed["names"] == ["broker.example", "mqtt"]
    assert [change.partition(":")[0] for change in changed["changes"]] == ["names", "key", "port"]
    assert "listener 8885\n" in Path(changed["config"]).read_text()


def test_the_configuration_follows_the_kind_of_key(state: State) -> None:
    conf = Path(state.json("broker", "issue", "broker.example", "--plain-key")["config"])
    assert "broker-plain.key\n" in conf.read_text()
    state.run("broker", "issue", "broker.example", "--no-plain-key")
    assert "/broker.key\n" in conf.read_text()


def test_a_configuration_that_somebody_changed_stays(state: State) -> None:
    conf = Path(state.json("broker", "issue", "broker.example")["config"])
    conf.write_text(conf.read_text() + "log_dest stdout\n")
    said = state.run("broker", "issue", "broker.example", "--port", "8885").stderr
    assert "stays as it is" in said
    assert conf.read_text().endswith("log_dest stdout\n")


@pytest.mark.parametrize(
    ("ca", "setting", "made"),
    [
        ("rsa-2048", "", rsa.RSAPublicKey),
        ("rsa-2048", "rsa-3072", rsa.RSAPublicKey),
        ("ec-p256", "", ec.EllipticCurvePublicKey),
        ("ec-p256", "rsa-2048", rsa.RSAPublicKey),
        ("ec-p256", "ed25519", ec.EllipticCurvePublicKey),
    ],
)
def test_the_key_suits_the_ca_and_the_devices(tmp_path: Path, ca: str, setting: str, made: type) -> None:
    state = make_state(tmp_path, "--key-type", ca)
    if setting:
        state.run("config", "set", "key_type", setting)
    state.run("broker", "issue", "localhost")
    assert isinstance(certificate(state.certs / "brokers" / "localhost" / "broker.crt").public_key(), made)


@pytest.mark.parametrize("host", ["mqtt_broker", "_mqtt", "a_b.example", "project_mosquitto_1"])
def test_names_of_containers_are_taken(state: State, host: str) -> None:
    state.run("broker", "issue", host)
    assert names_in(state.certs / "brokers" / host / "broker.crt") == [host]


# -- list, show, revoke, expiring -------------------------------------------------------------------------------------


def test_brokers_are_listed_shown_and_revoked(state: State) -> None:
    first = state.json("broker", "issue", "broker.example", "192.0.2.7", "--port", "8884")
    second = state.json("broker", "issue", "broker.example")
    state.run("broker", "issue", "a.example")
    listed = state.run("broker", "list", "--json").json_lines
    assert [(one["host"], one["port"], one["status"]) for one in listed] == [
        ("a.example", 8883, "active"),
        ("broker.example", 8884, "active"),
    ]
    shown = state.json("broker", "show", "BROKER.example")
    assert shown["names"] == ["broker.example", "192.0.2.7"]
    assert [one["serial"] for one in shown["certificates"]] == [second["serial"], first["serial"]]
    revoked = state.json("broker", "revoke", "broker.example", "--reason", "keyCompromise")
    assert set(revoked["serials"]) == {first["serial"], second["serial"]}
    crl = x509.load_pem_x509_crl(state.crl.read_bytes())
    assert all(crl.get_revoked_certificate_by_serial_number(int(serial, 16)) for serial in revoked["serials"])
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == revoked["crl_number"]
    assert state.json("broker", "show", "broker.example")["status"] == "revoked"
    again = state.json("broker", "revoke", "broker.example")
    assert (again["serials"], again["reason"]) == ([], "keyCompromise")
    for verb in ("show", "revoke"):
        state.run("broker", verb, "other.example", expect=5)


def test_a_brokers_revocation_is_recorded_without_the_key(state: State) -> None:
    state.run("broker", "issue", "broker.example")
    told = state.run("broker", "revoke", "broker.example", env={"IOTONBOARD_PASSPHRASE_FILE": None}, expect=8)
    assert "broker.example" in told.stdout
    assert state.json("broker", "show", "broker.example")["status"] == "revoked"


def test_the_hint_of_expiring_is_the_command(state: State) -> None:
    state.run("broker", "issue", "broker.example", "192.0.2.7", "--validity-days", "5")
    said = state.run("expiring", expect=9).stderr
    (hint,) = [line.partition("next: iotonboard ")[2] for line in said.splitlines() if "broker" in line]
    state.run(*hint.split())
    assert state.run("expiring").stderr == ""
    assert names_in(state.certs / "brokers" / "broker.example" / "broker.crt") == ["broker.example", "192.0.2.7"]


def test_devices_are_told_the_brokers_name_and_port(state: State, tmp_path: Path) -> None:
    state.run("broker", "issue", "mqtt_broker", "--port", "8884")
    state.register("press-1")
    state.run("export", "press-1", "--format", "mosquitto", "--out", tmp_path / "out")
    assert "address mqtt_broker:8884\n" in (tmp_path / "out" / "bridge.conf").read_text()
    assert "-h mqtt_broker\n-p 8884\n" in (tmp_path / "out" / "mosquitto_pub").read_text()


# -- a folder for the broker on this machine --------------------------------------------------------------------------


def test_one_command_makes_a_whole_folder(state: State, folder: Path) -> None:
    state.acl.write_bytes(b"user dashboard\ntopic read #\n" + state.acl.read_bytes())
    made = issue_for(state, folder, "--port", "8884")
    assert {path.name for path in folder.iterdir()} == {
        "broker.crt", "broker.key", "ca.crt", "crl.pem", "mosquitto.acl", "mosquitto.conf"
    }  # fmt: skip
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes["broker.key"] == 0o600
    assert {modes[name] for name in ("ca.crt", "crl.pem", "mosquitto.acl")} == {0o640}
    assert belongs_together(folder)
    assert made["config"] == str(folder / "mosquitto.conf")
    conf = (folder / "mosquitto.conf").read_text()
    assert "listener 8884\n" in conf
    assert str(state.path) not in conf
    assert b"user dashboard" in (folder / "mosquitto.acl").read_bytes()


def test_what_is_published_later_reaches_the_folder(state: State, folder: Path) -> None:
    issue_for(state, folder)
    serial = state.register("press-1")[0]["serial"]
    assert "user press-1" in (folder / "mosquitto.acl").read_text()
    state.run("revoke", "press-1")
    crl = x509.load_pem_x509_crl((folder / "crl.pem").read_bytes())
    assert crl.get_revoked_certificate_by_serial_number(int(serial, 16))
    state.run("ca", "rollover", "begin")
    assert (folder / "ca.crt").read_bytes() == state.ca_cert.read_bytes()
    assert (folder / "ca.crt").read_bytes().count(b"BEGIN CERTIFICATE") == 2
    assert state.json("health", "--deep")["status"] == "ok"


def test_the_ca_file_of_the_folder_is_repaired(state: State, folder: Path) -> None:
    issue_for(state, folder)
    (folder / "ca.crt").write_bytes(b"")
    state.run("health", "--deep", expect=9)
    state.run("health", "--repair")
    assert (folder / "ca.crt").read_bytes() == state.ca_cert.read_bytes()


def test_a_folder_that_is_away_stays_untouched(state: State, folder: Path) -> None:
    issue_for(state, folder)
    folder.rename(folder.with_name("unplugged"))
    folder.mkdir()
    told = state.run("revoke", state.register("press-1", expect=8)[0]["device_id"], expect=8).stderr
    assert "its disk is away" in told
    assert list(folder.iterdir()) == []
    folder.rmdir()
    folder.with_name("unplugged").rename(folder)
    state.run("sync-acl")
    assert "press-1" not in (folder / "mosquitto.acl").read_text()


def test_issuing_again_replaces_key_and_certificate_together(state: State, folder: Path) -> None:
    issue_for(state, folder, "--port", "8884")
    before = (folder / "broker.key").read_bytes()
    again = state.json("broker", "issue", "localhost")
    assert again["settings"] == []
    assert (again["folder"], again["port"]) == (str(folder), 8884)
    assert (folder / "broker.key").read_bytes() != before
    assert belongs_together(folder)


def test_a_folder_is_one_brokers_at_a_time(state: State, folder: Path) -> None:
    issue_for(state, folder)
    renamed = state.json("broker", "issue", "b.example", "--for", folder, *OWN_USER, "--port", "8884")
    assert renamed["changes"] == ["broker of the folder: localhost became b.example"]
    assert names_in(folder / "broker.crt") == ["b.example"]
    assert "listener 8884\n" in (folder / "mosquitto.conf").read_text()
    assert state.json("broker", "issue", "localhost")["folder"] is None
    assert names_in(folder / "broker.crt") == ["b.example"]


def test_a_state_restored_for_a_drill_leaves_the_folder_alone(state: State, folder: Path, tmp_path: Path) -> None:
    issue_for(state, folder)
    state.run("backup", tmp_path / "b.zip")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    drill = State(tmp_path / "drill", state.passphrase_file)
    drill.run("restore", tmp_path / "b.zip", "--no-crl")
    issued = drill.json("broker", "issue", "localhost")
    assert issued["folder"] is None
    assert "folder" in issued["changes"][0]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_settings_that_name_another_folder_are_not_overwritten(state: State, folder: Path) -> None:
    issue_for(state, folder)
    before = state.snapshot()
    told = issue_refused(state, folder.with_name("other"), 4)
    assert "broker_acl_file" in told
    assert "config set broker_acl_file" in told
    assert state.snapshot() == before
    assert not folder.with_name("other").exists()


def issue_refused(state: State, folder: Path, exit_code: int, *words: str, **options: object) -> str:
    user = () if "--user" in words else OWN_USER
    return state.run("broker", "issue", "b.example", "--for", folder, *user, *words, expect=exit_code, **options).stderr


def test_a_folder_that_cannot_be_is_refused_before_anything_is_recorded(state: State, tmp_path: Path) -> None:
    before = state.snapshot()
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path)
    issue_refused(state, tmp_path / "file", 4)
    issue_refused(state, tmp_path / "link", 4)
    issue_refused(state, tmp_path / "no" / "where", 5)
    issue_refused(state, tmp_path / "folder", 5, "--user", "nobody-of-that-name")
    issue_refused(state, tmp_path / "a\nb", 6)
    told = issue_refused(state, tmp_path / "f", 4, env={"BROKER_ACL_FILE": str(tmp_path / "x.acl")})
    assert "unset BROKER_ACL_FILE" in told
    if OWN_USER:
        (tmp_path / "closed").mkdir(mode=0o700)
        told = issue_refused(state, tmp_path / "closed" / "folder", 6, "--user", "nobody")
        assert "may not enter" in told
    assert state.snapshot() == before


def test_beside_a_main_file_that_includes_conf_d_nothing_is_said_twice(state: State, tmp_path: Path) -> None:
    etc = tmp_path / "etc"
    (etc / "conf.d").mkdir(parents=True)
    main = f"pid_file {tmp_path}/m.pid\npersistence true\npersistence_location {tmp_path}/\ninclude_dir {etc}/conf.d\n"
    (etc / "mosquitto.conf").write_text(main)
    made = issue_for(state, etc / "iotonboard")
    assert made["config"] == str(etc / "conf.d" / "iotonboard.conf")
    text = (etc / "conf.d" / "iotonboard.conf").read_text()
    for option in ("pid_file", "persistence", "include_dir"):
        assert not any(line.startswith(f"{option} ") for line in text.splitlines()), option
    assert not (etc / "iotonboard" / "mosquitto.conf").exists()
    shown = state.json("config", "show")["settings"]
    assert shown["broker.conf"]["value"] == str(etc / "mosquitto.conf")
    assert shown["broker.reload"]["value"] == f"pid:{tmp_path}/m.pid"
    state.register("press-1")
    judged = state.json("verify", "press-1", "--conf", etc / "mosquitto.conf")
    assert all(judged["listeners"][0][f"enforces_{what}"] for what in ("certificate", "crl", "acl"))
    assert "systemctl restart mosquitto" in state.run("broker", "issue", "localhost").stderr


def test_what_was_killed_is_finished_by_the_same_command(state: State, folder: Path) -> None:
    """And meanwhile nothing that publishes is in trouble."""
    for step in range(1, 200, 6):
        done = state.run(
            "broker", "issue", "localhost", "--for", folder, *OWN_USER, expect=(0, KILLED), before=die_at(step)
        )
        if done.exit_code == 0:
            break
        state.run("sync-acl")
        if step % 18 == 1:
            issue_for(state, folder)
            assert belongs_together(folder)
    assert step > 30


# -- what the broker must read ----------------------------------------------------------------------------------------


def test_a_registration_says_when_the_broker_must_reload(state: State) -> None:
    reload = "next: reload the broker"
    assert reload in state.run("register", "press-1").stderr
    assert reload in state.run("register", "--stream", input="press-2\n").stderr
    assert reload not in state.run("register", "press-1", "--if-exists", "skip").stderr
    state.run("config", "set", "acl.style", "pattern")
    state.run("sync-acl")
    assert reload not in state.run("register", "press-3").stderr
    assert reload in state.run("register", "press-4", "--topic", "read:plant/x").stderr
    assert reload in state.run("register", "press-4", "--if-exists", "reissue").stderr  # the old one is on the CRL


def test_a_reload_that_fails_is_told_and_what_was_done_stays(state: State, tmp_path: Path) -> None:
    state.run("config", "set", "broker.reload", f"pid:{tmp_path}/no.pid")
    for words in (("register", "press-1"), ("topics", "add", "press-1", "read:plant/x")):
        told = state.run(*words, "--reload", "--json", expect=8)
        assert "no.pid" in told.stderr
        assert "press-1" in told.stdout
    assert state.json("topics", "list", "press-1")["topics"] == ["read:plant/x"]


def test_in_a_container_the_configuration_has_the_paths_that_the_broker_sees(state: State, folder: Path) -> None:
    made = issue_for(state, folder, "--as", "/mosquitto/config/")
    conf = (folder / "mosquitto.conf").read_text()
    for line in (
        "cafile /mosquitto/config/ca.crt", "certfile /mosquitto/config/broker.crt", "acl_file /mosquitto/config/mosq",
        "keyfile /mosquitto/config/broker.key", "crlfile /mosquitto/config/crl.pem",
    ):  # fmt: skip
        assert line in conf
    assert str(folder) not in conf
    assert made["config"] == str(folder / "mosquitto.conf")
    assert "broker.conf" not in made["settings"]
    host = made["host"]
    again = state.run("broker", "issue", host)
    assert f"{folder} mounted at /mosquitto/config" in again.stderr
    assert (folder / "mosquitto.conf").read_text() == conf
    said = state.json("broker", "issue", host, "--as", folder)
    assert "in its container: /mosquitto/config became the same path" in said["changes"]
    assert f"cafile {folder}/ca.crt" in (folder / "mosquitto.conf").read_text()
    assert "from its root" in state.run("broker", "issue", host, "--as", "config", expect=6).stderr
    assert "--for" in state.run("broker", "issue", "other.local", "--as", "/x", expect=2).stderr
