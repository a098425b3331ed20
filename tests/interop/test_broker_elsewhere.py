"""A broker on another machine: its key never leaves it, and packages bring certificate and configuration."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from support.program import State, run_cli
from support.site import Site


@pytest.fixture
def site(state: State, tmp_path: Path) -> Site:
    state.register("press-1")
    (tmp_path / "site").mkdir()
    return Site(state, tmp_path / "site")


def prepare(folder: Path, *hosts: str, **options: object) -> dict:
    return json.loads(run_cli("apply", "--prepare", folder, *hosts, "--user", "root", "--json", **options).stdout)


def pair(folder: Path) -> tuple[object, x509.Certificate]:
    key = load_pem_private_key((folder / "broker.key").read_bytes(), None)
    return key.public_key(), x509.load_pem_x509_certificate((folder / "broker.crt").read_bytes())


def test_the_key_never_travels(state: State, site: Site) -> None:
    made = prepare(site.dest, "mqtt_broker", "192.0.2.7")
    assert (made["names"], made["key_created"]) == (["mqtt_broker", "192.0.2.7"], True)
    assert stat.S_IMODE((site.dest / "broker.key").stat().st_mode) == 0o600
    key = (site.dest / "broker.key").read_bytes()
    again = prepare(site.dest, "mqtt_broker", "192.0.2.7")
    assert not again["key_created"]
    assert (site.dest / "broker.key").read_bytes() == key
    issued = state.json("broker", "issue", "--csr", made["path"], "--port", "8884")
    assert issued["names"] == ["mqtt_broker", "192.0.2.7"]
    assert not list((state.certs / "brokers").rglob("*.key"))
    applied = json.loads(site.apply(site.pack(), "--json"))
    assert applied["broker_files"] == [str(site.dest / "broker.crt"), str(site.dest / "mosquitto.conf")]
    public_key, certificate = pair(site.dest)
    assert certificate.public_key() == public_key
    judged = json.loads(run_cli("verify", "--conf", site.dest / "mosquitto.conf", "--user", "root", "--json").stdout)
    assert (judged["status"], judged["listeners"][0]["port"]) == ("ok", "8884")
    assert all(judged["listeners"][0][f"enforces_{what}"] for what in ("certificate", "crl", "acl"))
    assert json.loads(site.apply(site.folder / "package", "--json"))["broker_files"] == []


def test_a_certificate_is_renewed_by_name_and_comes_with_the_next_package(state: State, site: Site) -> None:
    state.run("broker", "issue", "--csr", prepare(site.dest, "b.example")["path"])
    site.apply(site.pack("first"))
    renewed = state.json("broker", "issue", "b.example", "--port", "8884")
    applied = json.loads(site.apply(site.pack("second"), "--json"))
    assert len(applied["broker_files"]) == 2
    public_key, certificate = pair(site.dest)
    assert f"{certificate.serial_number:X}".rjust(40, "0") == renewed["serial"].rjust(40, "0")
    assert certificate.public_key() == public_key
    site.refused(site.folder / "first")
    conf = site.dest / "mosquitto.conf"
    conf.write_text(conf.read_text() + "log_dest stdout\n")
    state.run("broker", "issue", "b.example", "--port", "8885")
    assert json.loads(site.apply(site.pack("third"), "--json"))["broker_files"] == [str(site.dest / "broker.crt")]
    assert conf.read_text().endswith("log_dest stdout\n")
    state.run("broker", "revoke", "b.example")
    assert json.loads(site.apply(site.pack("fourth"), "--json"))["broker_files"] == []


def test_a_configuration_follows_after_a_package_without_it(state: State, site: Site) -> None:
    state.run("broker", "issue", "--csr", prepare(site.dest, "b.example")["path"])
    site.apply(site.pack("first"))
    state.run("broker", "revoke", "b.example")
    site.apply(site.pack("second"))
    state.run("broker", "issue", "b.example", "--port", "8885")
    assert len(json.loads(site.apply(site.pack("third"), "--json"))["broker_files"]) == 2
    assert "listener 8885\n" in (site.dest / "mosquitto.conf").read_text()


def test_what_is_another_brokers_stays_in_the_package(state: State, site: Site, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    state.run("broker", "issue", "--csr", prepare(tmp_path / "elsewhere" / "m", "other.example")["path"])
    assert json.loads(site.apply(site.pack("without-a-key"), "--json"))["broker_files"] == []
    prepare(site.dest, "b.example")
    assert json.loads(site.apply(site.pack("with-another-key"), "--json"))["broker_files"] == []
    assert not (site.dest / "broker.crt").exists()


def test_debians_layout_gets_its_configuration_into_conf_d(state: State, site: Site) -> None:
    (site.folder / "conf.d").mkdir()
    (site.folder / "mosquitto.conf").write_text(f"pid_file /run/m.pid\ninclude_dir {site.folder}/conf.d\n")
    state.run("broker", "issue", "--csr", prepare(site.dest, "b.example")["path"])
    applied = json.loads(site.apply(site.pack(), "--json"))
    assert applied["broker_files"][1] == str(site.folder / "conf.d" / "iotonboard.conf")
    judged = run_cli("verify", "--conf", site.folder / "mosquitto.conf", "--user", "root", "--json").stdout
    assert json.loads(judged)["listeners"][0]["enforces_crl"]


def test_what_cannot_be_prepared_or_certified_is_refused(state: State, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    run_cli("apply", "--prepare", folder, "a b", "--user", "root", expect=6)
    run_cli("apply", "--prepare", tmp_path / "no" / "where", "b.example", "--user", "root", expect=5)
    assert not folder.exists()
    made = prepare(folder, "b.example")
    run_cli("apply", "b.example", expect=2)
    state.run("broker", "issue", "--csr", made["path"], "--for", tmp_path / "x", expect=2)
    state.run("broker", "issue", "--csr", made["path"])
    state.run("broker", "issue", "other.example", "--csr", made["path"], expect=6)
    state.run("broker", "revoke", "b.example", "--reason", "keyCompromise")
    state.run("broker", "issue", "--csr", made["path"], expect=6)
    state.run("broker", "issue", "b.example", expect=6)
    (folder / "broker.key").write_bytes(b"no key")
    run_cli("apply", "--prepare", folder, "b.example", "--user", "root", expect=4)
