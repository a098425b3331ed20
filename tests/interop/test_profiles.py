"""Certificates of profiles, judged by those who use them: a RADIUS server, verifiers, linters, Mosquitto."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from support.broker import wait_for
from support.client import Credentials, connect_answer
from support.program import State
from support.tools import need, run_linter, run_tool

HARDWARE = ("--set", "hardware_type=1.3.6.1.4.1.99999.1")
PROFILES = ("eap-tls", "idevid", "mqtt")
# FreeRADIUS 3: EAP-TLS and nothing else, for one client that asks by EAPOL.
RADIUSD = """
name = radiusd
prefix = /usr
libdir = /usr/lib/freeradius
logdir = {folder}
run_dir = {folder}
security {{
  max_attributes = 200
  reject_delay = 0
  status_server = no
}}
client here {{
  ipaddr = 127.0.0.1
  secret = secret
}}
modules {{
  eap {{
    default_eap_type = tls
    tls-config here {{
      private_key_file = {broker}/broker-plain.key
      certificate_file = {broker}/broker.crt
      ca_file = {folder}/trust.pem
      check_crl = yes
      tls_min_version = "1.2"
      tls_max_version = "1.3"
      fragment_size = 1024
    }}
    tls {{
      tls = here
    }}
  }}
}}
server here {{
  listen {{
    type = auth
    ipaddr = 127.0.0.1
    port = {port}
  }}
  authorize {{
    eap
  }}
  authenticate {{
    eap
  }}
}}
"""
SUPPLICANT = """network={{
  key_mgmt=IEEE8021X
  eap=TLS
  identity="{name}"
  ca_cert="{folder}/ca.crt"
  client_cert="{folder}/device.crt"
  private_key="{folder}/device.key"
}}
"""


@pytest.fixture
def plant(state: State, tmp_path: Path) -> State:
    """A device of each profile, exported, and a server's certificate."""
    state.run("broker", "issue", "radius.example", "--plain-key")
    for profile in PROFILES:
        state.run("register", profile, "--profile", profile, *HARDWARE)
        state.run("export", profile, "--format", "pem", "--out", tmp_path / profile)
    return state


@contextmanager
def radius(state: State, folder: Path) -> Iterator[int]:
    """A FreeRADIUS that trusts the CA with its list as it is now; its port."""
    server = need("freeradius")
    folder.mkdir()
    (folder / "trust.pem").write_bytes(state.ca_cert.read_bytes() + state.crl.read_bytes())
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    broker = state.certs / "brokers" / "radius.example"
    (folder / "radiusd.conf").write_text(RADIUSD.format(folder=folder, broker=broker, port=port))
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen([server, "-X", "-d", folder], stdout=out, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: b"Ready to process requests" in log.read_bytes() or process.poll() is not None, "FreeRADIUS")
        assert process.poll() is None, log.read_text()
        yield port
    finally:
        process.terminate()
        process.wait()


def is_let_in(name: str, folder: Path, port: int) -> bool:
    """Whether a device gets onto the network by EAP-TLS."""
    conf = folder / "supplicant.conf"
    conf.write_text(SUPPLICANT.format(name=name, folder=folder))
    words = ("-c", conf, "-a127.0.0.1", f"-p{port}", "-ssecret", "-t10")
    said = run_tool(need("eapol_test"), *words, expect=None)
    assert "EAP" in said.stdout
    return said.returncode == 0 and said.stdout.rstrip().endswith("SUCCESS")


def test_a_radius_server_lets_devices_in_until_they_are_revoked(plant: State, tmp_path: Path) -> None:
    need("eapol_test")
    with radius(plant, tmp_path / "radius-1") as port:
        assert {name: is_let_in(name, tmp_path / name, port) for name in PROFILES} == dict.fromkeys(PROFILES, True)
    plant.run("revoke", "eap-tls", "idevid")
    with radius(plant, tmp_path / "radius-2") as port:
        assert {name: is_let_in(name, tmp_path / name, port) for name in PROFILES} == {
            "eap-tls": False, "idevid": False, "mqtt": True
        }  # fmt: skip


def test_an_idevid_is_verified_until_it_is_revoked(plant: State, tmp_path: Path) -> None:
    crt = tmp_path / "idevid" / "device.crt"
    words = ("openssl", "verify", "-x509_strict", "-crl_check", "-CAfile", plant.ca_cert, "-CRLfile", plant.crl, crt)
    run_tool(*words)
    run_tool(*words[:2], "-purpose", "sslclient", *words[2:])
    plant.run("revoke", "idevid")
    assert "certificate revoked" in (said := run_tool(*words, expect=2)).stdout + said.stderr


@pytest.mark.parametrize("profile", PROFILES)
def test_pkilint_finds_nothing(plant: State, tmp_path: Path, profile: str) -> None:
    crt = tmp_path / profile / "device.crt"
    assert run_linter("lint_pkix_cert", crt) == []
    assert run_linter("lint_pkix_signer_signee_cert_chain", plant.ca_cert, crt) == []


def test_mosquitto_takes_clients_by_either_profile_and_no_idevid(plant: State, tmp_path: Path, start_broker) -> None:
    devices = {
        name: Credentials(name, *(tmp_path / name / file for file in ("ca.crt", "device.crt", "device.key")))
        for name in PROFILES
    }
    broker = start_broker(plant)
    answers = {name: connect_answer(broker, device) for name, device in devices.items()}
    assert [answers["eap-tls"], answers["mqtt"]] == ["Success", "Success"]
    assert answers["idevid"] != "Success"  # it has no commonName, which is the user's name
    plant.run("revoke", "eap-tls")
    broker.reload()
    assert connect_answer(broker, devices["eap-tls"]).startswith("refused")
    assert connect_answer(broker, devices["mqtt"]) == "Success"


def test_a_store_for_opc_ua_has_every_ca_with_its_list_in_der(plant: State, tmp_path: Path) -> None:
    plant.run("revoke", "mqtt")
    plant.run("export", "eap-tls", "--format", "opcua-store", "--out", tmp_path / "pki")
    names = {path.relative_to(tmp_path / "pki").as_posix() for path in (tmp_path / "pki").rglob("*.*")}
    assert names == {
        "own/certs/device.der", "own/private/device.der", "trusted/certs/ca.der", "trusted/crl/ca.crl",
        "trusted/crl/ca.der", "issuers/certs/ca.der", "issuers/crl/ca.crl", "issuers/crl/ca.der",
    }  # fmt: skip
    own, trusted = tmp_path / "pki" / "own", tmp_path / "pki" / "trusted"
    public = [
        run_tool("openssl", *words, "-inform", "DER", "-in", file).stdout
        for words, file in (
            (("pkey", "-pubout"), own / "private" / "device.der"),
            (("x509", "-noout", "-pubkey"), own / "certs" / "device.der"),
        )
    ]
    assert public[0] == public[1]
    run_tool("openssl", "x509", "-inform", "DER", "-in", trusted / "certs" / "ca.der", "-out", tmp_path / "ca.pem")
    ca = ("-CAfile", tmp_path / "ca.pem", "-CRLfile", trusted / "crl" / "ca.crl", "-crl_check")
    run_tool("openssl", "verify", *ca, own / "certs" / "device.der")
    refused = run_tool("openssl", "verify", *ca, tmp_path / "mqtt" / "device.crt", expect=2)
    assert "revoked" in refused.stdout + refused.stderr
    assert (own / "private").stat().st_mode & 0o777 == 0o700
    plant.run("export", "eap-tls", "--format", "opcua-store", "--out", tmp_path / "pki", expect=4)
    plant.run("ca", "rollover", "begin")
    plant.run("export", "eap-tls", "--format", "opcua-store", "--out", tmp_path / "pki", "--force")
    assert (trusted / "crl" / "ca2.crl").exists()


def test_a_store_is_written_while_devices_are_registered(state: State, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("press-1\npress-2\n")
    words = ("register", "--batch", tmp_path / "list", "--format", "opcua-store", "--out", tmp_path / "out")
    state.run(*words)
    first, second = (tmp_path / "out" / name / "trusted" / "crl" / "ca.crl" for name in ("press-1", "press-2"))
    before = first.read_bytes()
    second.unlink()
    state.run("gen-crl")
    state.run(*words, "--if-exists", "skip")  # which completes what an earlier call did not come to write
    assert first.read_bytes() == second.read_bytes() != before
