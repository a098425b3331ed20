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
